"""Unlearning methods behind one small protocol."""
