"""Measurements that a user can repeat: each prints what it measured, and on what."""
