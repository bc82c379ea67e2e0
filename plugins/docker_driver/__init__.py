"""The docker driver: tasks as containers of a Docker engine."""
