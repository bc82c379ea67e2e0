"""What would happen: the real scheduler over a made-up or copied cluster. Pure."""
