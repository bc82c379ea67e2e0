"""Start a supervisor and connect to it. The agent's side; no asyncio here.

The child gets a session of its own and no inherited descriptors, so that it survives the agent. It is given
only what Python needs to find this package: its environment must never leak into tasks.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import plugins
from plugins.supervisor.protocol import LOCK_NAME, LOG_NAME, SOCKET_NAME

_LOG_MAX_BYTES = 1024 * 1024


def spawn(directory: Path) -> int:
    """Start a supervisor for a directory and return its pid; the caller reaps it.

    If another one has the directory, it ends at once with status 75. Raises: OSError.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = directory / LOG_NAME
    if log.exists() and log.stat().st_size > _LOG_MAX_BYTES:
        log.replace(log.with_suffix(".log.old"))
    # -P: nothing from the working directory; -S -s: no site-packages, which it does not need
    argv = [sys.executable, "-P", "-S", "-s", "-m", "plugins.supervisor", "--dir", str(directory)]
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": str(Path(plugins.__file__).parent.parent),
        "PYTHONUTF8": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
    ]
    return os.posix_spawn(sys.executable, argv, env, file_actions=actions, setsid=True)


def connect(directory: Path) -> socket.socket:
    """Connect to the supervisor of a directory.

    Raises: OSError (FileNotFoundError or ConnectionRefusedError when none runs; BlockingIOError when its
    queue of new connections is full, as with one that is stopped).
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        sock.setblocking(False)
        # by way of a descriptor, since a socket's path may have 107 bytes at most
        base = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sock.connect(f"/proc/self/fd/{base}/{SOCKET_NAME}")
        finally:
            os.close(base)
    except BaseException:
        sock.close()
        raise
    return sock


def pid_of(directory: Path) -> int:
    """Return the pid that holds the directory's lock, for messages; 0: unknown."""
    try:
        return int((directory / LOCK_NAME).read_text() or 0)
    except (OSError, ValueError):
        return 0


def last_words(directory: Path) -> str:
    """Return the last line of the supervisor's log, for messages."""
    try:
        lines = (directory / LOG_NAME).read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""
