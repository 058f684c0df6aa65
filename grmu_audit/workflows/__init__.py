"""Workflows of an operator: one function per task, with a session that holds the store, the key and the device."""
