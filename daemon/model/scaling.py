"""Scaling of groups: what was asked for, by whom and why. Pure.

Source: spec/scheduler.md 11; names: spec/nomad-surface.md B2.
"""

from __future__ import annotations

from typing import Any

from daemon.model.base import Wire

#: events kept per group, newest first.
EVENTS_KEPT = 20


class ScalingPolicy(Wire, frozen=True, kw_only=True):
    """Between which counts a group may be scaled. `enabled` and `policy` are for whoever scales by himself."""

    min: int = 0
    max: int = 0
    enabled: bool = True
    policy: dict[str, Any] = {}


class ScalingEvent(Wire, frozen=True, kw_only=True):
    """One call of `job scale`. `count` None: only something to be noted, `error` when it had failed."""

    time_ns: int
    count: int | None = None
    previous_count: int = 0
    message: str = ""
    error: bool = False
    meta: dict[str, str] = {}
    eval_id: str = ""
    create_index: int = 0


class JobScaling(Wire, frozen=True, kw_only=True):
    """The row of one job: group -> its events, newest first."""

    namespace: str
    job_id: str
    groups: dict[str, tuple[ScalingEvent, ...]] = {}
    modify_index: int = 0
