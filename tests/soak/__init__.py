"""Long runs that watch memory and handles: `python -m tests.soak`."""
