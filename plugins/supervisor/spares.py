"""Spare read ends of the tasks' FIFOs, held by the agent.

Theory: what a task wrote stays in a pipe only while somebody has it open. The supervisor reads it, the task
itself has it open, and the agent holds it too, without ever reading: if the supervisor is killed while a task
ends, the last output waits here for the next supervisor.
"""

from __future__ import annotations

import os
from pathlib import Path

from plugins.supervisor.records import STREAMS, Records


class Spares:
    """Descriptors by task key."""

    def __init__(self, directory: Path) -> None:
        self._records = Records(str(directory))
        self._fds: dict[str, list[int]] = {}

    def open(self, key: str, *, make: bool = False) -> None:
        """Open a task's FIFOs, making them first for a new task. Does nothing when they are open or gone."""
        if key in self._fds:
            return
        if make:
            self._records.make_fifos(key)
        fds: list[int] = []
        try:
            for stream in STREAMS:
                path = os.path.join(self._records.path(key), stream)
                fds.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        except FileNotFoundError:
            for fd in fds:
                os.close(fd)
            return
        self._fds[key] = fds

    def close(self, key: str) -> None:
        """Let go of a task's pipes. Idempotent."""
        for fd in self._fds.pop(key, ()):
            os.close(fd)

    def discard(self, key: str) -> None:
        """Let go, and remove a directory that no supervisor has taken up."""
        self.close(key)
        if not os.path.exists(os.path.join(self._records.path(key), "task.json")):
            self._records.remove(key)

    def keep_only(self, keys: set[str]) -> None:
        """Let go of all tasks but these."""
        for key in set(self._fds) - keys:
            self.close(key)

    def close_all(self) -> None:
        """Let go of everything."""
        self.keep_only(set())
