"""Metrics that need the network itself: robustness, layers, representations."""
