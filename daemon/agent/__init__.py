"""One agent process, composed from its configuration: server role, node role, or both."""
