"""What people ask of a node: logs, files, commands in tasks, statistics, restarts and signals."""
