"""Measurements whose results stand in docs/; never part of the tests."""
