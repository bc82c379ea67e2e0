"""The node agent: allocations and tasks on one machine."""
