"""Opens paths inside an allocation's directory for people outside, and never leads out of it.

Theory: a task may plant symbolic links in its directory. Each part of a path is therefore opened relative to the
descriptor of its parent without following links; `..` is refused before anything is opened. Links are shown in
lists and never followed. `secrets` and `private` of a task cannot be named at all.
Blocking; run in a thread.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from daemon.model.errors import InvalidInput, NotFound, PermissionDenied
from daemon.node.disk.layout import HIDDEN
from daemon.rpc.messages import FileInfo

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def parts_of(path: str) -> list[str]:
    """The parts of a path below the allocation's root. Raises InvalidInput, PermissionDenied."""
    if "\0" in path:
        raise InvalidInput("a path cannot contain NUL", path=path)
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise InvalidInput(f"path {path!r} leads out of the allocation's directory", path=path)
    if len(parts) > 1 and parts[0] != "alloc" and parts[1] in HIDDEN:
        raise PermissionDenied(f"the {parts[1]} directory of a task cannot be read from outside", path=path)
    return parts


def open_file(root: Path, path: str) -> int:
    """A descriptor of a regular file. Raises NotFound, InvalidInput, PermissionDenied."""
    parts = parts_of(path)
    if not parts:
        raise InvalidInput(f"{path!r} is a directory, not a file", path=path)
    parent = _open_directory(root, parts[:-1], path)
    try:
        fd = _open(parts[-1], _FILE, parent, path)
    finally:
        os.close(parent)
    kind = os.fstat(fd).st_mode
    if not stat.S_ISREG(kind):
        os.close(fd)
        what = "a directory" if stat.S_ISDIR(kind) else "no regular file"
        raise InvalidInput(f"{path!r} is {what}; only regular files can be read", path=path)
    return fd


def list_directory(root: Path, path: str) -> list[FileInfo]:
    """Entries by name; for a file, that file alone. Raises NotFound, InvalidInput, PermissionDenied."""
    info = stat_path(root, path)
    if not info.is_dir:
        return [info]
    fd = _open_directory(root, parts_of(path), path)
    try:
        found = []
        for name in sorted(os.listdir(fd)):
            try:
                found.append(_info(name, os.stat(name, dir_fd=fd, follow_symlinks=False)))
            except FileNotFoundError:
                continue  # removed meanwhile
        return found
    finally:
        os.close(fd)


def stat_path(root: Path, path: str) -> FileInfo:
    """One entry. Raises NotFound, InvalidInput, PermissionDenied."""
    parts = parts_of(path)
    parent = _open_directory(root, parts[:-1], path)
    try:
        if not parts:
            return _info("/", os.fstat(parent))
        return _info(parts[-1], os.stat(parts[-1], dir_fd=parent, follow_symlinks=False))
    except FileNotFoundError:
        raise NotFound(f"no file {path!r} in the allocation's directory", path=path) from None
    finally:
        os.close(parent)


def _open_directory(root: Path, parts: list[str], path: str) -> int:
    try:
        fd = os.open(root, _DIRECTORY)
    except FileNotFoundError:
        raise NotFound("the allocation's directory is not there (any more)", path=path) from None
    for part in parts:
        try:
            inner = _open(part, _DIRECTORY, fd, path)
        finally:
            os.close(fd)
        fd = inner
    return fd


def _open(name: str, flags: int, parent: int, path: str) -> int:
    try:
        return os.open(name, flags, dir_fd=parent)
    except FileNotFoundError:
        raise NotFound(f"no file {path!r} in the allocation's directory", path=path) from None
    except OSError as error:
        raise InvalidInput(
            f"cannot open {path!r}: {error.strerror} (symbolic links are not followed)", path=path
        ) from error


def _info(name: str, facts: os.stat_result) -> FileInfo:
    return FileInfo(
        name=name,
        is_dir=stat.S_ISDIR(facts.st_mode),
        size=facts.st_size,
        file_mode=stat.filemode(facts.st_mode),
        mod_time_ns=facts.st_mtime_ns,
    )
