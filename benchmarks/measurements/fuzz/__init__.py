"""Malformed inputs of every kind of file that the tool reads, and what became of them."""
