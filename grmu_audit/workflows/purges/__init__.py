"""What still holds the rows of a request that was served, and its deletion: impact, plan, execution, legal holds."""
