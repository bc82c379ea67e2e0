"""The status of a job, derived from what belongs to it. Pure.

Source: spec/scheduler.md 1.1.
"""

from __future__ import annotations

from daemon.model.enums import JobStatus, JobType
from daemon.model.job import Job


def derived_status(
    job: Job, live_allocs: int, evals: int, open_evals: int, lost_evals: bool = False, rolling: bool = False
) -> JobStatus:
    """Pending, running or dead. `lost_evals`: evaluations of the job have just been collected; `rolling`: a
    deployment is under way.
    """
    if job.type == JobType.SYSTEM or job.periodic is not None or job.parameterized_job is not None:
        return JobStatus.DEAD if job.stop else JobStatus.RUNNING
    if live_allocs or rolling:
        return JobStatus.RUNNING
    if open_evals:
        return JobStatus.PENDING
    if job.stop or evals or lost_evals or job.status == JobStatus.DEAD:
        # a dead job whose evaluations were collected long ago stays dead.
        return JobStatus.DEAD
    return JobStatus.PENDING
