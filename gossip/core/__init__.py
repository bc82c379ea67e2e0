"""The protocol as pure code: time, randomness and input come in, actions go out. No socket, no task, no clock."""
