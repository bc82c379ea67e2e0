"""Runs one allocation: the pure cores that decide, and the shells that act."""
