"""Membership inference: attacks on predictions, exposure, curves, and attacks with shadow models."""
