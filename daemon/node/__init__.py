"""The node agent: fingerprints the machine, runs allocations and their tasks, and reports what happened."""
