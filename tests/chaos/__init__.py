"""Chaos: real workers on a real Kafka, broken in every way that operators know, under load."""
