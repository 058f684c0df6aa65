"""Stores that are used honestly, and stores in which one thing is edited: what ``verify`` and ``promote`` say."""
