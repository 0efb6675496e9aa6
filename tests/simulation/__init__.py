"""The real roles over a simulated log, clock and network: one seed is one run, and reproduces."""
