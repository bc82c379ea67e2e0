"""Tests and benchmarks of encamp."""
