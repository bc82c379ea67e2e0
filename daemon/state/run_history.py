"""How a launch ended, written into the history of its parent when the child is over. Pure.

Source: users/wants.md 17 (a history of runs with their results).
"""

from __future__ import annotations

from msgspec.structs import replace

from daemon.model.enums import JobType
from daemon.model.job import Job
from daemon.model.launch import Launches
from daemon.state.tables import Tables


def with_end(tables: Tables, child: Job, time_ns: int, index: int) -> Launches | None:
    """The parent's row with this child's outcome; None when its history does not hold the child."""
    row = tables.launches.get((child.namespace, child.parent_id))
    if row is None:
        return None
    place = next((at for at, run in enumerate(row.runs) if run.job_id == child.id), None)
    if place is None:
        return None
    run = replace(row.runs[place], outcome=_outcome(tables, child), ended_ns=time_ns)
    return replace(row, runs=(*row.runs[:place], run, *row.runs[place + 1 :]), modify_index=index)


def _outcome(tables: Tables, child: Job) -> str:
    summary = tables.summaries.get(child.key)
    counts = summary.summary if summary is not None else {}
    if child.type == JobType.SYSBATCH:
        done = all(not (group.failed or group.lost) for group in counts.values())
    else:
        done = all(
            counts[group.name].complete >= group.count if group.name in counts else group.count == 0
            for group in child.task_groups
        )
    if child.stop and not done:
        return "stopped"
    return "complete" if done else "failed"
