"""Bytes to values: one file a format, and never an exception for what is in the bytes."""
