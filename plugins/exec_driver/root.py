"""What a task sees as its file system: its directory as root, the host's system directories in it.

Theory: `view` is the one table from path inside to path on the host; mounts are made from it and commands are
looked up in it, so both always agree. System directories are read-only.

In-task paths: / is the task directory, hence /local, /secrets and /tmp; /alloc is the allocation's shared
directory.
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from plugins.driver import DriverError, Mount, TaskConfig

#: host directories that programs need; symbolic links among them (merged /usr) are followed.
SYSTEM_DIRS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/usr", "/opt")
#: of /etc only what names, certificates and the loader need; never what holds secrets.
ETC = (
    *("alternatives", "ca-certificates", "ca-certificates.conf", "group", "host.conf", "hostname", "hosts"),
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types", "networks", "nsswitch.conf"),
    *("passwd", "pki", "protocols", "resolv.conf", "services", "ssl", "terminfo", "timezone"),
)
#: the host's private keys are not for tasks.
HIDDEN = ("/etc/ssl/private", "/etc/pki/tls/private")
ALLOC = "/alloc"


class Piece(NamedTuple):
    """One path inside and what is there."""

    inside: str
    host: str
    read_only: bool
    propagation: str = "private"


def view(task: TaskConfig) -> list[Piece]:
    """Return what is mounted over the task directory, outer before inner.

    Raises: DriverError for a bad mount.
    """
    pieces = [Piece(path, os.path.realpath(path), True) for path in SYSTEM_DIRS if os.path.isdir(path)]
    pieces += [Piece(f"/etc/{name}", os.path.realpath(f"/etc/{name}"), True) for name in ETC]
    pieces = [piece for piece in pieces if os.path.exists(piece.host)]
    pieces.append(Piece(ALLOC, task.alloc_dir, False))
    pieces += [_volume(mount) for mount in task.mounts]
    return pieces


def _volume(mount: Mount) -> Piece:
    if not os.path.exists(mount.host_path):
        raise DriverError(f"host volume: {mount.host_path!r} does not exist on this node")
    inside = os.path.normpath("/" + mount.task_path.lstrip("/"))
    if inside == "/" or inside.split("/")[1] in ("proc", "sys", "dev"):
        raise DriverError(f"host volume: cannot be mounted at {mount.task_path!r} inside the task")
    return Piece(inside, mount.host_path, mount.read_only, mount.propagation)


def on_host(path: str, pieces: list[Piece], task_dir: str) -> str:
    """Return where on the host a path inside the task is; the innermost mount counts."""
    path = os.path.normpath(path)
    for piece in reversed(pieces):
        if path == piece.inside or path.startswith(piece.inside + "/"):
            return os.path.normpath(piece.host + path[len(piece.inside) :])
    return os.path.normpath(task_dir + path)


def find_inside(command: str, search: str, pieces: list[Piece], task_dir: str) -> str:
    """Return the path inside the task of a command. Raises: DriverError that says where was looked."""
    if os.path.isabs(command):
        places, candidates = [os.path.dirname(command)], [command]
    else:
        places = ["/local", "/"] + ([] if "/" in command else [place for place in search.split(":") if place])
        candidates = [os.path.join(place, command) for place in places]
    for candidate in candidates:
        if _may_be_program(on_host(candidate, pieces, task_dir)):
            return candidate
    raise DriverError(
        f"command not found: looked for an executable {command!r} inside the task in {', '.join(places)}"
    )


def _may_be_program(path: str) -> bool:
    try:
        if os.path.islink(path) and os.readlink(path).startswith("/"):
            return True  # means a path inside, which only the runtime can follow
        info = os.stat(path)
    except OSError:
        return False
    return stat.S_ISREG(info.st_mode) and bool(info.st_mode & 0o111)
