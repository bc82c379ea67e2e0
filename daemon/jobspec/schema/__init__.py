"""The schema of job files: tables of blocks and keys, a reader for them, and the structs made from it."""
