"""The supervisor: one small process per node, parent of all raw_exec and exec tasks.

See `server` for the process and `client` for the agent's side. Nothing is imported here, because the
supervisor process itself must stay small.
"""
