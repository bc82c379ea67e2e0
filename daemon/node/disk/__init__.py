"""Directories of allocations: layout, mounts, removal, and safe reading from outside."""
