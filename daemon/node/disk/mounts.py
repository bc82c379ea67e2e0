"""Mounts of the node agent: tmpfs for secrets, read-only binds of host volumes; and what is mounted below a path.

Theory: a directory is removed only when nothing is mounted below it any more, otherwise a removal would reach
into an operator's volume. `/proc/self/mountinfo` is the only witness asked.
Linux only; through mount(2) and umount2(2), so that no program is needed.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_MS_RDONLY = 1
_MS_NOSUID = 2
_MS_NODEV = 4
_MS_NOEXEC = 8
_MS_REMOUNT = 32
_MS_BIND = 4096
_MS_PRIVATE = 1 << 18
_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8

_libc = ctypes.CDLL(None, use_errno=True)


def _mount(source: str, target: str, kind: str, flags: int, data: str) -> None:
    code = _libc.mount(
        os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), data.encode() or None
    )
    if code != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def can_mount() -> bool:
    """Root may try; containers without the privilege are told apart when they do."""
    return os.geteuid() == 0


def mount_tmpfs(target: Path, *, size_mb: int, mode: int, uid: int, gid: int) -> None:
    """Mount a tmpfs. Raises OSError."""
    options = f"size={size_mb}m,mode={mode:o},uid={uid},gid={gid}"
    _mount("tmpfs", str(target), "tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, options)


def bind_read_only(source: Path, target: Path) -> None:
    """Show `source` at `target` without the right to write. Raises OSError; then nothing is mounted."""
    _mount(str(source), str(target), "", _MS_BIND, "")
    try:
        _mount("", str(target), "", _MS_PRIVATE, "")
        _mount("", str(target), "", _MS_BIND | _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV, "")
    except OSError:
        unmount(target)
        raise


def unmount(target: Path) -> None:
    """Take a mount away, at once for all who look, even while it is busy. Raises OSError."""
    code = _libc.umount2(os.fsencode(str(target)), _MNT_DETACH | _UMOUNT_NOFOLLOW)
    if code != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def mounts_below(root: Path) -> list[Path]:
    """Mount points at or below `root`, the deepest first."""
    real = os.path.realpath(root)
    found: list[str] = []
    with open("/proc/self/mountinfo", "rb") as lines:
        for line in lines:
            target = os.fsdecode(line.split()[4].decode("unicode_escape").encode("latin-1"))
            if target == real or target.startswith(real + "/"):
                found.append(target)
    # what is mounted over another mount comes later in the list, and goes first
    return [Path(target) for target in reversed(found)]


def unmount_below(root: Path) -> None:
    """Take away all mounts at or below `root`. Raises OSError for the first that stays."""
    for target in mounts_below(root):
        unmount(target)
