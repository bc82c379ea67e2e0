"""Who this node is: its id and secret, kept in the state directory; and the lock that makes it the only one.

The secret is what a server knows the node by; the file is readable by its owner only. A lost file makes a new node.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import uuid
from pathlib import Path

import msgspec

from daemon.model.errors import Unavailable


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Id and secret of a node."""

    node_id: str
    secret_id: str


def load_identity(directory: Path) -> Identity:
    """Read the identity, or make a new one. Blocking.

    Raises: Unavailable when the file cannot be read; it is never replaced silently.
    """
    path = directory / "identity.json"
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Identity)
        uuid.UUID(found.node_id)
        return found
    except FileNotFoundError:
        pass
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise Unavailable(
            f"the node's identity {path} cannot be read: {error}; move it away to become a new node",
            path=str(path),
        ) from error
    fresh = Identity(node_id=str(uuid.uuid4()), secret_id=str(uuid.UUID(bytes=secrets.token_bytes(16))))
    temporary = path.with_suffix(".new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as out:
        out.write(json.dumps(msgspec.to_builtins(fresh)).encode())
        out.flush()
        os.fsync(out.fileno())
    temporary.rename(path)
    return fresh


class DirectoryLock:
    """Held while an agent uses a state directory; the kernel lets go of it when the process ends."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "lock"
        self._fd = -1

    def take(self) -> None:
        """Raises Unavailable when another agent holds it."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            raise Unavailable(
                f"another agent uses {self._path.parent}; stop it, or give this one its own data_dir",
                path=str(self._path),
            ) from error
        self._fd = fd

    def release(self) -> None:
        """Let go. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def boot_id() -> str:
    """Changes with every start of the machine; "" where the kernel does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def rebooted(directory: Path) -> bool:
    """Whether the machine was started anew since this was last asked; keeps the answer for next time."""
    path, now = directory / "boot_id", boot_id()
    try:
        before = path.read_text().strip()
    except OSError:
        before = ""
    if before != now:
        path.write_text(now + "\n")
    return bool(before) and bool(now) and before != now
