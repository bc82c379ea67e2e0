"""The raw_exec driver: a command of the host, without isolation. See `driver`."""
