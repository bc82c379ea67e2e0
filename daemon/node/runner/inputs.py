"""Inputs of the runner cores: what has happened, or what is asked. Pure.

`attempt` tells an answer of the present attempt from a late one of an earlier attempt, which is ignored.
"""

from __future__ import annotations

import msgspec

from daemon.model.tasks import TaskEvent
from plugins.driver import ExitResult, TaskHandle


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all inputs."""


# of a task


class Admit(Input, frozen=True, kw_only=True):
    """The task may start now."""


class Launched(Input, frozen=True, kw_only=True):
    """The driver has started the attempt."""

    attempt: int
    handle: TaskHandle


class LaunchFailed(Input, frozen=True, kw_only=True):
    """The attempt did not start. `setup`: the failure was the node's own, before the driver was called."""

    attempt: int
    message: str
    recoverable: bool = False
    setup: bool = False
    #: random share from 0 to 1, stretches the restart delay.
    jitter: float = 0.0


class Aborted(Input, frozen=True, kw_only=True):
    """The launch was broken off and nothing of it is left."""

    attempt: int


class Recovered(Input, frozen=True, kw_only=True):
    """After a restart of the agent the driver has the task again."""

    attempt: int


class Lost(Input, frozen=True, kw_only=True):
    """After a restart of the agent the task was gone. `rebooted`: with the machine, which is not its failure."""

    attempt: int
    message: str
    rebooted: bool = False
    jitter: float = 0.0


class Exited(Input, frozen=True, kw_only=True):
    """The attempt has ended."""

    attempt: int
    result: ExitResult
    jitter: float = 0.0


class Destroyed(Input, frozen=True, kw_only=True):
    """The driver has removed the traces of the attempt."""

    attempt: int


class RestartDue(Input, frozen=True, kw_only=True):
    """The restart delay is over."""


class ShutdownDelayOver(Input, frozen=True, kw_only=True):
    """The task's shutdown delay is over."""


class Kill(Input, frozen=True, kw_only=True):
    """End the task for good. `reason` is added to its events first."""

    reason: TaskEvent | None = None
    why: str = ""
    no_delay: bool = False
    #: the task counts as failed for this.
    fails: bool = False


class Restart(Input, frozen=True, kw_only=True):
    """A user wants it restarted; no attempt of the policy is used up. `even_dead`: also when it has ended."""

    reason: str
    even_dead: bool = False


class Note(Input, frozen=True, kw_only=True):
    """Only an event for the task's list."""

    event: TaskEvent


TaskInput = (
    Admit
    | Launched
    | LaunchFailed
    | Aborted
    | Recovered
    | Lost
    | Exited
    | Destroyed
    | RestartDue
    | ShutdownDelayOver
    | Kill
    | Restart
    | Note
)


# of an allocation


class ForTask(Input, frozen=True, kw_only=True):
    """An input of one task."""

    task: str
    input: TaskInput


class Begin(Input, frozen=True, kw_only=True):
    """Start working. First input of a new allocation."""


class Resume(Input, frozen=True, kw_only=True):
    """First input of an allocation that was read back from the disk."""


class PredecessorDone(Input, frozen=True, kw_only=True):
    """The allocation that this one replaces holds nothing any more."""


class Prepared(Input, frozen=True, kw_only=True):
    """The directories are there."""


class PrepareFailed(Input, frozen=True, kw_only=True):
    """The directories could not be made."""

    message: str


class Stop(Input, frozen=True, kw_only=True):
    """The allocation is to end. `force`: poststop tasks too, and without delays."""

    reason: str
    no_delay: bool = False
    force: bool = False


class GroupDelayOver(Input, frozen=True, kw_only=True):
    """The group's shutdown delay is over."""


class HealthyLongEnough(Input, frozen=True, kw_only=True):
    """All tasks have been running for min_healthy_time."""


class HealthDeadline(Input, frozen=True, kw_only=True):
    """healthy_deadline is over."""


class RunTooLong(Input, frozen=True, kw_only=True):
    """max_run_duration is over."""


class TornDown(Input, frozen=True, kw_only=True):
    """Mounts are gone."""


AllocInput = (
    ForTask
    | Begin
    | Resume
    | PredecessorDone
    | Prepared
    | PrepareFailed
    | Stop
    | GroupDelayOver
    | HealthyLongEnough
    | HealthDeadline
    | RunTooLong
    | TornDown
)
