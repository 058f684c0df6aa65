"""Datasets, forget lists and the batch source."""
