"""Effects: what the runner cores want done. The shell does them in order, after the record is stored. Pure.

All of them may be done again after a crash: driver calls are idempotent per task id, timers are re-armed.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from plugins.driver import TaskHandle


class Timer(StrEnum):
    """Which timer; each exists once per task, or once per allocation (task "")."""

    RESTART = "restart"
    SHUTDOWN_DELAY = "shutdown_delay"
    GROUP_DELAY = "group_delay"
    HEALTHY = "healthy"
    HEALTH_DEADLINE = "health_deadline"
    MAX_RUN = "max_run"


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all effects."""


class TaskEffect(Effect, frozen=True, kw_only=True):
    """Base of the effects on one attempt of a task."""

    task: str
    attempt: int


class Launch(TaskEffect, frozen=True, kw_only=True):
    """Start the attempt. Answer: Launched or LaunchFailed, and Exited when it has ended."""


class Recover(TaskEffect, frozen=True, kw_only=True):
    """Take the attempt back. Answer: Recovered or Lost, and Exited when it has ended."""

    handle: TaskHandle


class Abort(TaskEffect, frozen=True, kw_only=True):
    """Break the launch off and destroy what it made. Answer: Aborted, unless Launched was on its way."""


class StopTask(TaskEffect, frozen=True, kw_only=True):
    """Stop the attempt. Answer: Exited."""

    signal: str
    timeout_ns: int


class Destroy(TaskEffect, frozen=True, kw_only=True):
    """Remove the traces of the attempt. Answer: Destroyed."""


class SetTimer(Effect, frozen=True, kw_only=True):
    """Arm a timer (again)."""

    task: str = ""
    timer: Timer
    at_ns: int


class CancelTimer(Effect, frozen=True, kw_only=True):
    """Disarm a timer. One that is not armed is no error."""

    task: str = ""
    timer: Timer


class AwaitPredecessor(Effect, frozen=True, kw_only=True):
    """Wait until the allocation that this one replaces is done. Answer: PredecessorDone."""


class Prepare(Effect, frozen=True, kw_only=True):
    """Make the directories. Answer: Prepared or PrepareFailed. `again`: after a restart; no answer wanted."""

    again: bool = False


class TearDown(Effect, frozen=True, kw_only=True):
    """Take mounts away. Answer: TornDown."""
