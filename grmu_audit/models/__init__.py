"""Architectures by name and safe weights."""
