"""The contract between the node agent and a task driver.

Theory: a driver is one object per node. The agent gives it a `TaskConfig` (everything resolved: paths,
environment, ports, limits) and gets a `TaskHandle` back, an opaque token that it stores *before* it tells
anybody that the task runs; after a crash it hands the token to `recover`. All methods are coroutines and may be
cancelled at any await; a driver must stay usable after that. A driver that blocks wraps its calls in threads.

Errors: every expected failure is a `DriverError` whose text a user reads in the task's events;
`recoverable=True` asks the restart policy to try again, `False` fails the task at once.

Not here: restart policy, log rotation limits, templates: the node decides those.
Source: spec/nomad-surface.md A5 (what drivers offer), design/architecture.md "Plugins".
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec

if TYPE_CHECKING:
    from plugins.supervisor.client import SupervisorClient

Health = Literal["undetected", "unhealthy", "healthy"]


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True):
    """What a driver or fingerprinter found on this machine."""

    #: undetected: the machine cannot run it (description says why); unhealthy: it should, but does not now.
    health: Health = "healthy"
    #: attribute key -> value, e.g. `driver.docker.version`. An empty value removes the attribute.
    attributes: dict[str, str] = {}
    description: str = ""


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """Optional features that a driver declares."""

    send_signals: bool = True
    exec: bool = True
    #: none: sees the host's files; chroot: the task directory is its root; image: brings its own root.
    fs_isolation: Literal["none", "chroot", "image"] = "none"
    network_modes: tuple[str, ...] = ("host",)
    #: True when the driver can mount host volumes at another path than the host's.
    mounts: bool = False


class PortMapping(msgspec.Struct, frozen=True, kw_only=True):
    """One port of the allocation. `to` is the port inside the task's network (0: the same as `value`)."""

    label: str
    value: int
    to: int = 0
    host_ip: str = ""


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """A host directory made visible to the task at `task_path`."""

    host_path: str
    task_path: str
    read_only: bool = False
    propagation: str = "private"


class LogConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where a task's output goes: files `DIR/TASK.stdout.N`, rotated by size, oldest removed."""

    dir: str
    max_files: int = 10
    max_file_size_mb: int = 10
    #: bytes a second for both streams together; 0: no limit. Above it the writer is slowed, nothing is dropped.
    rate_limit_bytes: int = 0
    disabled: bool = False


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Resources of one task. `cpu_total_mhz` is the node's, so that a share can become a quota."""

    cpu_mhz: int = 100
    cpu_total_mhz: int = 0
    cores: tuple[int, ...] = ()
    memory_mb: int = 300
    #: 0: the same as memory_mb; -1: no upper limit.
    memory_max_mb: int = 0


class TaskConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a driver needs to start one task. Paths are absolute host paths."""

    #: unique on the node and over restarts of the task: `ALLOC_ID/TASK/ATTEMPT`.
    id: str
    alloc_id: str
    alloc_name: str
    job_id: str
    namespace: str
    group: str
    task: str
    #: the job file's `config` block, interpolated; the driver decodes it into its `task_config` struct.
    config: dict[str, Any] = {}
    env: dict[str, str] = {}
    user: str = ""
    limits: Limits = Limits()
    ports: tuple[PortMapping, ...] = ()
    #: the group's network mode: host or none.
    network_mode: str = "host"
    #: ALLOC/alloc: shared by the tasks of the allocation (NOMAD_ALLOC_DIR).
    alloc_dir: str
    #: ALLOC/TASK: the task's own directory; `local`, `secrets`, `tmp` are inside it.
    task_dir: str
    mounts: tuple[Mount, ...] = ()
    logs: LogConfig


class TaskHandle(msgspec.Struct, frozen=True, kw_only=True):
    """Opaque token with which a restarted agent takes a running task back."""

    driver: str
    task_id: str
    version: int = 1
    #: the driver's own data; must survive JSON.
    state: dict[str, Any] = {}


class ExitResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a task or command ended. `error` set: the exit status is unknown, which counts as failed."""

    exit_code: int = 0
    signal: int = 0
    oom_killed: bool = False
    error: str = ""

    @property
    def successful(self) -> bool:
        """True when the task ended by itself with exit code 0."""
        return self.exit_code == 0 and self.signal == 0 and not self.oom_killed and not self.error


class TaskStats(msgspec.Struct, frozen=True, kw_only=True):
    """Use of resources at one instant. Shapes follow the field names of spec/nomad-surface.md B4."""

    timestamp_ns: int
    #: total CPU time used so far, ns.
    cpu_total_ns: int = 0
    cpu_percent: float = 0.0
    memory_rss_bytes: int = 0
    memory_cache_bytes: int = 0
    memory_max_usage_bytes: int = 0
    pids: int = 0


class DriverEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Progress that a driver wants in the task's event list, e.g. an image pull."""

    task_id: str
    message: str
    details: dict[str, str] = {}


class DriverError(Exception):
    """An expected failure, worded for the person who wrote the job."""

    def __init__(self, message: str, *, recoverable: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.recoverable = recoverable


class TaskNotFound(DriverError):
    """The driver knows no such task: never started here, destroyed, or lost."""


class ConfigError(Exception):
    """A driver's task or plugin configuration is wrong. `problems`: (path inside config, what is wrong)."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{path}: {why}" if path else why for path, why in problems))
        self.problems = problems


class ExecIO(ABC):
    """The caller's side of an interactive command. Implemented by the node agent and by tests."""

    @abstractmethod
    def stdin(self) -> AsyncIterator[bytes]:
        """Yield chunks for the command's standard input; the end of iteration closes it."""

    @abstractmethod
    async def output(self, stream: Literal["stdout", "stderr"], data: bytes) -> None:
        """Take a chunk of output; waits when the reader is slow."""

    @abstractmethod
    def resizes(self) -> AsyncIterator[tuple[int, int]]:
        """Yield (rows, columns) whenever the caller's terminal changes size."""


class DriverContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a driver gets from its host when it is made."""

    node_id: str
    node_name: str
    #: a directory of the driver's own, exists, mode 0700.
    data_dir: Path
    #: the agent's `plugin "NAME" { config { ... } }` block, already checked against `plugin_config`.
    config: dict[str, Any] = {}
    dev: bool = False
    #: takes progress events from any thread.
    emit: Callable[[DriverEvent], None] = lambda event: None
    logger: logging.Logger = logging.getLogger("encamp.driver")
    #: None where no supervisor runs (a test of a driver that needs none).
    supervisor: SupervisorClient | None = None


class Driver(ABC):
    """Base class of all task drivers. See the module's text for the rules that all methods keep."""

    #: the name in job files: `driver = "NAME"`.
    name: ClassVar[str]
    capabilities: ClassVar[Capabilities] = Capabilities()
    #: struct (forbid_unknown_fields) of a task's `config` block; gives users exact errors at submit.
    task_config: ClassVar[type[msgspec.Struct]]
    #: struct of the agent's plugin block; None: it takes none.
    plugin_config: ClassVar[type[msgspec.Struct] | None] = None

    def __init__(self, context: DriverContext) -> None:
        self.context = context

    @abstractmethod
    async def fingerprint(self) -> Fingerprint:
        """Look whether the driver can work here, quickly (under 5 s) and without side effects."""

    @abstractmethod
    async def start(self, task: TaskConfig) -> TaskHandle:
        """Start the task and return when it runs.

        Raises: DriverError; then nothing of the task is left behind. Idempotent per `task.id`: after a crash
        between start and the storing of the handle, a second call with the same id takes over what runs.
        """

    async def recover(self, handle: TaskHandle) -> None:
        """Take a task back after a restart of the agent. Raises TaskNotFound when it is gone without a trace.

        As it stands here, no task outlives the agent.
        """
        raise TaskNotFound(f"driver {self.name!r} cannot take tasks back after a restart of the agent")

    @abstractmethod
    async def wait(self, task_id: str) -> ExitResult:
        """Wait for the end of the task. May be called many times, also after the end, until destroy."""

    @abstractmethod
    async def stop(self, task_id: str, signal: str, timeout_s: float) -> None:
        """Send the signal, wait up to timeout_s, then kill everything the task has started. Idempotent."""

    @abstractmethod
    async def destroy(self, task_id: str) -> None:
        """Kill it if it runs and remove every trace (cgroup, container, FIFO), but not its logs. Idempotent."""

    async def signal(self, task_id: str, signal: str) -> None:
        """Send a signal by name (`SIGHUP`) to the task's main process."""
        raise DriverError(f"driver {self.name!r} cannot send signals to its tasks")

    async def stats(self, task_id: str) -> TaskStats:
        """Use of resources now. Raises TaskNotFound."""
        raise DriverError(f"driver {self.name!r} does not measure its tasks")

    async def exec(
        self, task_id: str, argv: list[str], *, tty: bool, io: ExecIO, env: dict[str, str] | None = None
    ) -> ExitResult:
        """Run a command in the task's surroundings and return how it ended."""
        raise DriverError(f"driver {self.name!r} cannot run commands inside its tasks")

    async def close(self) -> None:  # noqa: B027 - optional: most drivers hold nothing
        """Let go of everything in this process; tasks go on running. Safe to call half-way through a start."""
