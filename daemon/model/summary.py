"""JobSummary: how many allocations of each group of a job stand where. Pure.

Theory: counted as changes are applied, so that a list of jobs reads no allocation. Ended work stays counted
after its allocations were collected, as people expect of a history.

Source: spec/nomad-surface.md B2 (JobSummary).
"""

from __future__ import annotations

from daemon.model.base import Wire


class GroupSummary(Wire, frozen=True, kw_only=True):
    """Counts of one group. `queued` is what the last evaluation could not place."""

    queued: int = 0
    complete: int = 0
    failed: int = 0
    running: int = 0
    starting: int = 0
    lost: int = 0
    unknown: int = 0


class JobSummary(Wire, frozen=True, kw_only=True):
    """Counts of one job, by group."""

    job_id: str
    namespace: str = "default"
    summary: dict[str, GroupSummary] = {}
    create_index: int = 0
    modify_index: int = 0
