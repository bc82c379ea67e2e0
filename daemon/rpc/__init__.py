"""ZeroMQ transport, codec, the table of methods."""
