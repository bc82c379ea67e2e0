"""What a runner must remember over a crash: the records of an allocation and of its tasks. Pure.

Theory: a core never mutates a record, it replaces it; whatever is encoded after a step and stored before the step's
effects happen is enough to go on from any line. Times are wall clock ns, so that they mean the same after a reboot.

Source: architecture.md "The node".
"""

from __future__ import annotations

from enum import StrEnum

from daemon.model.base import Wire
from daemon.model.tasks import TaskEvent, TaskState
from plugins.driver import TaskHandle


class Phase(StrEnum):
    """Where a task stands on its node."""

    #: not allowed to start yet (lifecycle, predecessor).
    WAITING = "waiting"
    #: a launch of attempt N is under way.
    STARTING = "starting"
    #: the launch is to be broken off.
    ABORTING = "aborting"
    RUNNING = "running"
    #: to be killed once its shutdown delay is over; still runs.
    DELAYING = "delaying"
    #: the driver stops it for good.
    STOPPING = "stopping"
    #: the driver stops it so that it can start again.
    RESTARTING = "restarting"
    #: it has ended; the driver removes its traces.
    ENDING = "ending"
    #: waits for the delay of the restart policy.
    BACKOFF = "backoff"
    DEAD = "dead"


class After(StrEnum):
    """What follows once the traces of an attempt are removed."""

    NOTHING = ""
    DEAD = "dead"
    BACKOFF = "backoff"
    LAUNCH = "launch"


class Window(Wire, frozen=True, kw_only=True):
    """Restarts counted in the present interval of the restart policy."""

    started_ns: int = 0
    count: int = 0


class TaskRecord(Wire, frozen=True, kw_only=True):
    """One task. `attempt` is part of the id that its driver knows: ALLOC/TASK/ATTEMPT."""

    phase: Phase = Phase.WAITING
    attempt: int = 0
    state: TaskState = TaskState()
    #: set while the driver holds the present attempt.
    handle: TaskHandle | None = None
    window: Window = Window()
    after: After = After.NOTHING
    #: when the next attempt starts (BACKOFF, or ENDING before it).
    restart_at_ns: int = 0
    #: when the shutdown delay is over (DELAYING).
    stop_at_ns: int = 0
    #: somebody wants it gone; it is never started again.
    killed: bool = False
    kill_why: str = ""


class AllocPhase(StrEnum):
    """Where an allocation stands on its node."""

    #: waits for the allocation that it replaces.
    WAITING = "waiting"
    #: its directories are made.
    PREPARING = "preparing"
    RUNNING = "running"
    #: the group's shutdown delay.
    DELAYING = "delaying"
    KILLING = "killing"
    #: the main tasks are over; poststop tasks run.
    POSTSTOP = "poststop"
    #: mounts are taken away.
    CLEANING = "cleaning"
    DONE = "done"


class AllocRecord(Wire, frozen=True, kw_only=True):
    """One allocation with its tasks."""

    phase: AllocPhase = AllocPhase.WAITING
    tasks: dict[str, TaskRecord] = {}
    #: failed for a reason that is no task's (its directories could not be made, ran too long).
    failed: bool = False
    description: str = ""
    healthy: bool | None = None
    healthy_at_ns: int = 0
    health_deadline_ns: int = 0
    deployment_id: str = ""
    #: the group's shutdown delay ends then (DELAYING).
    delay_until_ns: int = 0
    #: why the tasks are killed: an event for each that still lives, and words for the rest.
    kill_event: TaskEvent | None = None
    kill_why: str = ""
    kill_no_delay: bool = False
    #: poststop tasks are to end too.
    forced: bool = False
    #: a main task has started at least once.
    started: bool = False
    done_at_ns: int = 0
