"""Readers of published layouts and of users' own data, one file each."""
