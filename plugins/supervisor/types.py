"""What a driver tells the supervisor and what it hears back, as typed structs. The client's side only.

The supervisor itself takes these as plain JSON objects (see `protocol`), because msgspec would double its
size.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from plugins.driver import DriverError, ExitResult

if TYPE_CHECKING:
    from plugins.driver import LogConfig


class SupervisorUnavailable(DriverError):
    """The supervisor does not answer; the request may be tried again later."""

    def __init__(self, message: str) -> None:
        super().__init__(message, recoverable=True)


class LogTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Where the output goes: `DIR/NAME.stdout.N` and `DIR/NAME.stderr.N`."""

    dir: str
    name: str
    files_max: int = 10
    file_max_bytes: int = 10 * 1024 * 1024
    #: both streams together, a second; 0: no limit.
    rate_limit_bytes: int = 0
    disabled: bool = False

    @classmethod
    def of(cls, logs: LogConfig, task: str) -> LogTarget:
        """Return the target of a task with this log configuration."""
        return cls(
            dir=logs.dir,
            name=task,
            files_max=logs.max_files,
            file_max_bytes=logs.max_file_size_mb * 1024 * 1024,
            rate_limit_bytes=logs.rate_limit_bytes,
            disabled=logs.disabled,
        )


class Launcher(msgspec.Struct, frozen=True, kw_only=True):
    """The command ends soon and leaves the real process behind, named in pid_file."""

    pid_file: str
    timeout_s: float = 30.0


class ProcessSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One process to run, exactly: nothing is looked up or added by the supervisor."""

    id: str
    #: argv[0] is an absolute path.
    argv: list[str]
    env: dict[str, str] = {}
    cwd: str = "/"
    #: -1: as the supervisor.
    uid: int = -1
    gid: int = -1
    groups: list[int] = []
    #: who may open /dev/stdout anew, where the launcher runs as another user; -1: `uid`.
    log_uid: int = -1
    oom_score_adj: int | None = None
    #: groups made for the task and removed with it (plugins.cgroups.layout.Layout); None: there are none.
    cgroup: dict[str, Any] | None = None
    #: directories of the groups that the process joins before it runs.
    join: list[str] = []
    logs: LogTarget | None = None
    launcher: Launcher | None = None


class CommandSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A command beside a running task. What is left out is taken from the task."""

    argv: list[str]
    env: dict[str, str] = {}
    #: True: `env` is added to the task's environment; False: it is the whole.
    inherit: bool = True
    cwd: str | msgspec.UnsetType = msgspec.UNSET
    uid: int | msgspec.UnsetType = msgspec.UNSET
    gid: int | msgspec.UnsetType = msgspec.UNSET
    groups: list[int] | msgspec.UnsetType = msgspec.UNSET
    join: list[str] | msgspec.UnsetType = msgspec.UNSET
    #: stdin is a terminal that becomes the command's controlling one.
    tty: bool = False
    #: file in which a container runtime writes the pid of the process inside, killed on cancel.
    pid_file: str = ""


class TaskInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervisor knows of a task."""

    id: str
    key: str
    #: starting, launching, running, lost, ending or exited.
    state: str
    pid: int = 0
    start: int = 0
    #: True when all output is in the log files.
    drained: bool = False
    exit: ExitResult | None = None
    #: True when `start` found the task already there.
    existing: bool = False


class StartFailed(DriverError):
    """The process could not be started. `stage` says where, `errno` why (0: unknown)."""

    def __init__(self, kind: str, message: str, details: dict[str, Any]) -> None:
        stage = str(details.get("stage") or "")
        super().__init__(f"{message} (while setting up {stage})" if stage not in ("", "exec") else message)
        self.kind = kind
        self.stage = stage
        self.errno = int(details.get("errno") or 0)
        self.status: int | None = details.get("status")


def key_of(task_id: str) -> str:
    """Return the name of a task's directory and cgroup: task ids hold slashes and may be long."""
    return hashlib.sha256(task_id.encode()).hexdigest()[:24]


def cgroup_parent_of(directory: Path) -> str:
    """Return the name of the group above all tasks of one supervisor, different for each data directory."""
    return "encamp-" + hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:12]
