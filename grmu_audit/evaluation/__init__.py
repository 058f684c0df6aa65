"""The forward pass that every number is derived from."""
