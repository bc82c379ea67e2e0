"""Makes the directories of an allocation and its tasks, and takes them away again. Blocking; run in a thread.

Theory: everything may be done twice, because a crash can come between any two lines. The root of an allocation may
only be passed through by others (0711), so what is below it is reachable for whoever knows the id, as tasks under
other users need. Shared directories are open to all users of the allocation's tasks (0777). `private` is the
agent's. `secrets` belongs to the task's user; tasks with a file system of their own (images) choose their user
themselves, therefore it is open inside the allocation there.

Source: spec/nomad-surface.md A4.
"""

from __future__ import annotations

import errno
import logging
import os
import pwd
import shutil
import stat
from pathlib import Path

import msgspec

from daemon.node.disk import mounts
from daemon.node.disk.layout import SHARED, AllocLayout

log = logging.getLogger("encamp.node")

#: size of the secrets tmpfs where a job does not say one.
SECRETS_MB = 1


class TaskDirs(msgspec.Struct, frozen=True, kw_only=True):
    """What must be known of a task to make its directories."""

    name: str
    user: str = ""
    #: the driver gives the task a file system of its own.
    isolated: bool = False
    secrets_mb: int = SECRETS_MB


def make_root(alloc_dir: Path, data_dir: Path) -> None:
    """The directory of all allocations, which tasks under other users must be able to pass through.

    What else is in the data directory keeps its own modes; its names can be guessed, not listed.
    """
    alloc_dir.mkdir(parents=True, exist_ok=True)
    alloc_dir.chmod(0o711)
    for parent in (alloc_dir.parent, *alloc_dir.parent.parents):
        if parent == data_dir or data_dir in parent.parents:
            parent.chmod(stat.S_IMODE(parent.stat().st_mode) | 0o011)


def prepare(layout: AllocLayout, tasks: tuple[TaskDirs, ...]) -> None:
    """Make what is missing. Raises OSError, or LookupError for an unknown user."""
    _directory(layout.root, 0o711)
    _directory(layout.shared, 0o777)
    for name in SHARED:
        _directory(layout.shared / name, 0o1777 if name == "tmp" else 0o777)
    for task in tasks:
        _prepare_task(layout, task)


def _prepare_task(layout: AllocLayout, task: TaskDirs) -> None:
    uid, gid = _owner(task.user) if not task.isolated else (os.geteuid(), os.getegid())
    root = layout.task(task.name)
    _directory(root, 0o755)
    _directory(root / "local", 0o777)
    _directory(root / "tmp", 0o1777)
    _directory(root / "private", 0o700)
    secrets = layout.secrets(task.name)
    mode = 0o777 if task.isolated else 0o700
    _directory(secrets, mode)
    if mounts.can_mount() and not mounts.mounts_below(secrets):
        try:
            mounts.mount_tmpfs(secrets, size_mb=task.secrets_mb or SECRETS_MB, mode=mode, uid=uid, gid=gid)
        except PermissionError as error:
            log.warning("no tmpfs for %s (%s); secrets are on disk, mode %o", secrets, error, mode)
    if uid != os.geteuid():
        os.chown(secrets, uid, gid)
        os.chown(root / "local", uid, gid)


def _directory(path: Path, mode: int) -> None:
    try:
        path.mkdir()
    except FileExistsError:
        if path.is_symlink() or not path.is_dir():
            raise NotADirectoryError(
                errno.ENOTDIR, "something else is in the place of a directory", str(path)
            ) from None
        return
    path.chmod(mode)


def _owner(user: str) -> tuple[int, int]:
    if not user or os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    name, _, _group = user.partition(":")
    if name.isdecimal():
        return int(name), int(name)
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise LookupError(f"user {name!r} does not exist on this node") from None
    return entry.pw_uid, entry.pw_gid


def tear_down(layout: AllocLayout) -> None:
    """Take the mounts away; files stay for a look. Raises OSError."""
    mounts.unmount_below(layout.root)


def remove(layout: AllocLayout) -> None:
    """Remove all of it. Raises OSError; then nothing outside the directory was touched."""
    if not layout.root.exists():
        return
    mounts.unmount_below(layout.root)
    left = mounts.mounts_below(layout.root)
    if left:
        raise OSError(errno.EBUSY, "something is still mounted there; nothing was removed", str(left[0]))
    shutil.rmtree(layout.root)


def move_sticky(source: AllocLayout, target: AllocLayout, tasks: tuple[str, ...]) -> None:
    """Take over the data of the allocation that this one replaces: alloc/data and each TASK/local.

    Done again after a crash it goes on where it stopped: what is gone at the source has been moved.
    Raises: OSError.
    """
    pairs = [(source.data, target.data)] + [(source.local(name), target.local(name)) for name in tasks]
    for old, new in pairs:
        if old.is_symlink() or not old.is_dir():
            continue
        if new.is_dir() and not new.is_symlink():
            new.rmdir()  # fresh and empty; otherwise it is the task's already, and the error says so
        old.rename(new)


def explain(error: Exception, layout: AllocLayout) -> str:
    """The failure in words a person can act on."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"No space is left on the disk of {layout.root.parent}: free some, or raise client.disk reservations"
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"The agent may not write below {layout.root.parent}: {error}"
    return f"The allocation's directory could not be made: {error}"
