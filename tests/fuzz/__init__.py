"""A seeded fuzzer over every decoder: `python -m tests.fuzz --cases 1000000`."""
