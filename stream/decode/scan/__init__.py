"""Bytes to columns in one walk, for events that a profile expects; all others are left."""
