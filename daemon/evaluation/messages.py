"""What travels between the agent and its evaluation workers, over ZeroMQ ipc. Pure."""

from __future__ import annotations

from daemon.model.base import Wire
from daemon.model.plan import Attempt, EvalInput
from daemon.state.deltas import FleetDelta


class Work(Wire, frozen=True, kw_only=True):
    """Evaluations for one worker, with the fleet's changes since the last message to it, at one index."""

    delta: FleetDelta | None = None
    inputs: tuple[EvalInput, ...] = ()
    #: the fleet must not keep what these evaluations place (a dry run).
    dry_run: bool = False
    #: (which, of how many) parts of the nodes to prefer, while workers get in each other's way.
    share: tuple[int, int] = (0, 1)


class Result(Wire, frozen=True, kw_only=True):
    """A worker's answer about one evaluation.

    `resync`: the worker's fleet has a gap; it needs all of it, and has not looked at the evaluation.
    """

    eval_id: str
    attempt: Attempt | None = None
    error: str = ""
    resync: bool = False


class Answer(Wire, frozen=True, kw_only=True):
    """What a worker says to one `Work`, all of it; without results it says that the worker is ready."""

    results: tuple[Result, ...] = ()
    memory_bytes: int = 0
