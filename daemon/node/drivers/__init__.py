"""The drivers of a node: their thread, their health, and the way to call them."""
