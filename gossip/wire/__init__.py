"""Bytes: messages, packets, streams, compression, keys. Pure but for random nonces, which come in as an argument."""
