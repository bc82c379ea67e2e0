"""State and events of a task as its node reports them. Pure.

Source: spec/nomad-surface.md A4 (task events), B4.
"""

from __future__ import annotations

from daemon.model.base import Wire
from daemon.model.enums import TaskStateName


class TaskEvent(Wire, frozen=True, kw_only=True):
    """One thing that happened to a task. `type` is one of the words that Nomad's users know."""

    type: str
    time_ns: int
    message: str = ""
    display_message: str = ""
    details: dict[str, str] = {}
    exit_code: int = 0
    signal: int = 0
    fails_task: bool = False


class TaskState(Wire, frozen=True, kw_only=True):
    """Where a task stands, with its last 10 events."""

    state: TaskStateName = TaskStateName.PENDING
    failed: bool = False
    restarts: int = 0
    last_restart_ns: int = 0
    started_at_ns: int = 0
    finished_at_ns: int = 0
    events: tuple[TaskEvent, ...] = ()

    @property
    def successful(self) -> bool:
        """Ended, and not failed."""
        return self.state == TaskStateName.DEAD and not self.failed


class EventType:
    """Words for `TaskEvent.type`."""

    RECEIVED = "Received"
    TASK_SETUP = "Task Setup"
    SETUP_FAILURE = "Setup Failure"
    DRIVER = "Driver"
    DRIVER_FAILURE = "Driver Failure"
    STARTED = "Started"
    TERMINATED = "Terminated"
    RESTARTING = "Restarting"
    NOT_RESTARTING = "Not Restarting"
    RESTART_SIGNALED = "Restart Signaled"
    SIGNALING = "Signaling"
    KILLING = "Killing"
    KILLED = "Killed"
    SIBLING_FAILED = "Sibling Task Failed"
    LEADER_DEAD = "Leader Task Dead"
    FAILED_VALIDATION = "Failed Validation"
    DISK_EXCEEDED = "Disk Resources Exceeded"
    RUNNING = "Running"
    MAIN_DEAD = "Main Tasks Dead"
    SHUTDOWN_DELAY = "Waiting for shutdown delay"
    RECONNECTED = "Reconnected"
    MAX_RUN_DURATION = "Max Run Duration Exceeded"
    ALLOC_UNHEALTHY = "Alloc Unhealthy"
