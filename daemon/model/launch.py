"""Launches of a periodic or parameterized job: when the last was, when the next is due, and what became of each. Pure.

Source: spec/scheduler.md 8; users/wants.md 17.
"""

from __future__ import annotations

from daemon.model.base import Wire

#: runs kept per job, newest first.
RUNS_KEPT = 30


class Run(Wire, frozen=True, kw_only=True):
    """One launch. `outcome`: "" while its job lives; complete, failed, stopped, or skipped (then `reason` says why)."""

    job_id: str = ""
    launch_ns: int
    forced: bool = False
    outcome: str = ""
    reason: str = ""
    ended_ns: int = 0


class Launches(Wire, frozen=True, kw_only=True):
    """The row of one parent job. Times are UTC ns; `next_ns` 0: none is planned, or not planned yet."""

    namespace: str
    job_id: str
    last_ns: int = 0
    next_ns: int = 0
    runs: tuple[Run, ...] = ()
    modify_index: int = 0
