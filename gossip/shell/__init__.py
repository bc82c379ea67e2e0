"""The I/O around the core: sockets, the runner, files, and the public face."""
