"""The replicated state: tables, blocks, commands, apply, changes, snapshots, the fleet. Pure."""
