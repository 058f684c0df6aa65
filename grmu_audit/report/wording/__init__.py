"""Numbers, names and sentences as text."""
