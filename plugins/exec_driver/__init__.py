"""The exec driver:

a command isolated by an OCI runtime, with the task directory as its root. See `driver`.
"""
