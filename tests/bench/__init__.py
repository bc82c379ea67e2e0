"""Benchmarks: `make bench`. They print; nothing asserts on wall time."""
