"""Messages of the file system, logs and exec of an allocation. Pure. Source: spec/nomad-surface.md B4."""

from __future__ import annotations

from daemon.model.base import Wire
from daemon.rpc.messages.base import Answer, Query


class FileInfo(Wire, frozen=True, kw_only=True):
    """One file or directory of an allocation."""

    name: str
    is_dir: bool = False
    size: int = 0
    file_mode: str = ""
    mod_time_ns: int = 0


class FsRequest(Query, frozen=True, kw_only=True):
    """A path inside the allocation's directory. `offset` counts from `origin` (start or end)."""

    id: str
    path: str = "/"
    offset: int = 0
    origin: str = "start"
    #: bytes at most; 0: to the end.
    limit: int = 0
    follow: bool = False


class FsListResponse(Answer, frozen=True, kw_only=True):
    """Entries of a directory (or the one file)."""

    files: tuple[FileInfo, ...] = ()


class LogsRequest(Query, frozen=True, kw_only=True):
    """Log of a task over its rotated files. `offset` counts bytes from `origin`."""

    id: str
    task: str
    type: str = "stdout"
    offset: int = 0
    origin: str = "start"
    follow: bool = False


class ExecRequest(Query, frozen=True, kw_only=True):
    """Run a command inside a task."""

    id: str
    task: str
    command: tuple[str, ...]
    tty: bool = False


class ExecInput(Wire, frozen=True, kw_only=True):
    """A frame from the caller of exec: bytes for stdin, its end, or a new size of the terminal."""

    stdin: bytes = b""
    close: bool = False
    rows: int = 0
    columns: int = 0


class ExecOutput(Wire, frozen=True, kw_only=True):
    """A frame to the caller of exec; the last one has `exited`."""

    stdout: bytes = b""
    stderr: bytes = b""
    exited: bool = False
    exit_code: int = 0
    error: str = ""
