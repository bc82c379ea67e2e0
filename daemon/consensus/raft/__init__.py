"""The Raft core: several servers agree on one log. Sans-I/O; not connected to the server yet."""
