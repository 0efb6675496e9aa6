"""Summaries: integer sums over a bucket that merge in any order to the same bytes."""
