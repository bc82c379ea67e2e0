"""Periodic jobs: which launches are due, and which of the missed ones are made. Pure.

Theory: a job's next launch stands in the state, in UTC; `due` compares it with the leader's clock. One moment that is
a little late is simply launched. Moments that passed while nobody could launch them (no leader, agent off, the clock
stepped forward) are treated as the job's `missed` says: `once` launches the latest of them and no other, `skip` notes
them, `all` makes up for each. A clock that steps back launches nothing twice: apply refuses moments that are not
later than the last.

Source: spec/scheduler.md 8; users/wants.md 17.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from daemon.jobspec.cron import next_launch_ns
from daemon.model.base import NS_PER_S
from daemon.model.enums import JobStatus
from daemon.model.job import Job
from daemon.model.launch import Launches

#: a launch this late is still on time: servers restart, loops stall.
LATE_NS = 60 * NS_PER_S
#: missed moments that are looked at; of more, the latest count.
MISSED_MAX = 1000
#: launches that `missed = "all"` makes up for at most.
CATCH_UP_MAX = 100


@dataclass(frozen=True)
class Due:
    """One launch to propose. `skip`: it is only noted, for this reason."""

    launch_ns: int
    next_ns: int
    skip: str = ""


def is_launched(job: Job) -> bool:
    """True for jobs that cron launches now."""
    return (
        job.periodic is not None and job.periodic.enabled and not job.stop and job.parameterized_job is None
    )


def next_ns(job: Job, row: Launches | None) -> int:
    """When the job is due next, UTC ns; 0: never."""
    if job.periodic is None or not is_launched(job):
        return 0
    if row is not None and row.next_ns:
        return row.next_ns
    return next_launch_ns(
        job.periodic, row.last_ns if row is not None and row.last_ns else job.submit_time_ns
    )


def due(job: Job, row: Launches | None, now_ns: int) -> list[Due]:
    """The launches to make now, oldest first; empty when the next one lies in the future."""
    first = next_ns(job, row)
    if not first or first > now_ns or job.periodic is None:
        return []
    moments, after = _moments(job, first, now_ns)
    latest = moments[-1]
    if len(moments) == 1 and now_ns - latest <= LATE_NS:
        return [Due(latest, after)]
    missed = job.periodic.missed
    if missed == "all":
        chosen = moments[-CATCH_UP_MAX:]
        follow = [*chosen[1:], after]
        return [Due(moment, later) for moment, later in zip(chosen, follow, strict=True)]
    if missed == "skip" and now_ns - latest > LATE_NS:
        return [Due(latest, after, skip=f'{_many(len(moments))} missed, and missed is "skip"')]
    return [Due(latest, after)]


def _moments(job: Job, first: int, now_ns: int) -> tuple[list[int], int]:
    """Moments from `first` to now, and the first one after now. Of very many, only the latest are found."""
    assert job.periodic is not None
    moments = [first]
    while len(moments) < MISSED_MAX:
        moment = next_launch_ns(job.periodic, moments[-1])
        if not moment or moment > now_ns:
            return moments, moment
        moments.append(moment)
    recent = next_launch_ns(job.periodic, now_ns - LATE_NS)
    while recent and recent <= now_ns and len(moments) < 2 * MISSED_MAX:
        if recent > moments[-1]:
            moments.append(recent)
        recent = next_launch_ns(job.periodic, recent)
    return moments, recent


def _many(count: int) -> str:
    return "1 launch was" if count == 1 else f"{count} launches were"


def periodic_child(parent: Job, launch_ns: int, now_ns: int) -> Job:
    """The job that one launch registers. Launches of the same second are the same child."""
    id_ = f"{parent.id}/periodic-{launch_ns // NS_PER_S}"
    return msgspec.structs.replace(fresh(parent, id_, now_ns), periodic=None, max_running=0)


def fresh(parent: Job, id_: str, now_ns: int) -> Job:
    """A child's struct: the parent's spec under its own id, with nothing of the parent's history."""
    return msgspec.structs.replace(
        parent,
        id=id_,
        name=id_,
        parent_id=parent.id,
        stop=False,
        stable=False,
        version=0,
        status=JobStatus.PENDING,
        status_description="",
        submit_time_ns=now_ns,
        create_index=0,
        modify_index=0,
        job_modify_index=0,
    )
