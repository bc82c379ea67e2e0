"""The agent's ipc socket, and the well-known name by which commands find it.

Theory: the socket belongs to the data_dir, so that several agents can run on one machine; its path is the data_dir
itself, or, where that is too long for a unix socket (107 bytes), a directory named after its hash. The first agent
of a user also claims the well-known name with a symbolic link; a link whose agent is gone is taken over.
"""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

from daemon.rpc.address import SOCKET_NAME, default_socket

#: sockaddr_un less the final NUL.
PATH_BYTES_MAX = 107


def socket_path(data_dir: Path, well_known: Path) -> Path:
    """Where the agent of this data_dir listens."""
    path = data_dir / SOCKET_NAME
    if len(os.fsencode(path)) <= PATH_BYTES_MAX:
        return path
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return well_known.parent / f"agent-{digest}.sock"


class WellKnownName:
    """A link from the well-known path to our socket, while no other agent holds it."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._link = default_socket(os.environ)
        self.held = False

    @property
    def path(self) -> Path:
        """The well-known path."""
        return self._link

    def claim(self) -> bool:
        """Point the name at our socket unless a living agent holds it. Never raises for lack of rights."""
        try:
            self._link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._link.is_symlink() and _answers(self._link):
                return False
            fresh = self._link.with_name(f".{os.getpid()}.link")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(self._target)
            fresh.replace(self._link)
        except OSError:
            return False
        self.held = True
        return True

    def release(self) -> None:
        """Remove the name if it is still ours."""
        if not self.held:
            return
        self.held = False
        try:
            if self._link.readlink() == self._target:
                self._link.unlink()
        except OSError:
            return


def _answers(path: Path) -> bool:
    """True when somebody accepts connections there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
