"""What the supervisor must remember beyond its own death: one directory and one JSON file per task.

    DIR/tasks/KEY/task.json     identity, specification, exit status
    DIR/tasks/KEY/stdout        FIFO of the task's output
    DIR/tasks/KEY/stderr        FIFO

Theory: KEY is a hash of the task id that the client makes, because ids hold slashes and may be long. A record
is replaced by rename, so a reader sees the old or the new one. It is written before the effect that it
describes. An exit status is also fsynced; the rest need not be, since no process outlives a power cut. The
specification holds the task's environment, hence 0700 and 0600.
"""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STREAMS = ("stdout", "stderr")


class Records:
    """The directory DIR/tasks. Owned by the supervisor; the client only makes and opens FIFOs in it."""

    def __init__(self, base: str) -> None:
        self.root = os.path.join(base, "tasks")
        os.makedirs(self.root, mode=0o700, exist_ok=True)

    def path(self, key: str) -> str:
        """Return the directory of a task."""
        return os.path.join(self.root, key)

    def make_fifos(self, key: str) -> None:
        """Make the task's directory and FIFOs where they are missing."""
        path = self.path(key)
        os.makedirs(path, mode=0o700, exist_ok=True)
        for stream in STREAMS:
            try:
                os.mkfifo(os.path.join(path, stream), 0o600)
            except FileExistsError:
                pass

    def save(self, key: str, record: dict[str, Any], *, durable: bool = False) -> None:
        """Replace the record of a task."""
        path = os.path.join(self.path(key), "task.json")
        fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            json.dump(record, file, separators=(",", ":"))
            file.flush()
            if durable:
                os.fsync(fd)
        os.rename(path + ".new", path)

    def load_all(self) -> list[dict[str, Any]]:
        """Read all records, oldest key first.

        A directory without a whole record is a start that never began.
        """
        found = []
        for key in sorted(os.listdir(self.root)):
            try:
                with open(os.path.join(self.path(key), "task.json"), encoding="utf-8") as file:
                    record = json.load(file)
            except (OSError, ValueError):
                continue
            if isinstance(record, dict) and record.get("key") == key:
                found.append(record)
        return found

    def remove(self, key: str) -> None:
        """Remove a task's directory, FIFOs included."""
        path = self.path(key)
        try:
            for name in os.listdir(path):
                os.unlink(os.path.join(path, name))
            os.rmdir(path)
        except FileNotFoundError:
            pass
