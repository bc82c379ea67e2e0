"""Writes a dispatch payload into a task's local directory, without following what a task may have planted."""

from __future__ import annotations

import os
from pathlib import Path

from plugins.driver import DriverError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


def write_payload(local: Path, name: str, payload: bytes) -> None:
    """Write `payload` to `name` below `local`; its directories are made. Blocking.

    Raises: DriverError for a name that leads out; OSError.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        raise DriverError(f"dispatch_payload file {name!r} is not inside the task's local directory")
    fd = os.open(local, _DIRECTORY)
    try:
        for part in parts[:-1]:
            try:
                os.mkdir(part, 0o777, dir_fd=fd)
            except FileExistsError:
                pass  # an attempt before this one made it
            inner = os.open(part, _DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = inner
        file = os.open(parts[-1], _CREATE, 0o644, dir_fd=fd)
    finally:
        os.close(fd)
    with os.fdopen(file, "wb") as out:
        out.write(payload)
