"""What still holds a person after their request was served, and its deletion: impact, plan, execution, legal holds."""
