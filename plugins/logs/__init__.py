"""Rotated log files of tasks and the limit on how fast they grow.

Imported by the supervisor: keep it small.
"""
