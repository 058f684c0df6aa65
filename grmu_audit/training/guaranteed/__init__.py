"""Training from which rows can be removed with a guarantee: a convex loss to its minimum, and members on shards of the rows."""
