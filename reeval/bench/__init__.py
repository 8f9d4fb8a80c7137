"""Benchmarks: what the device can do, what we reach of it, and what others reach with the same work."""
