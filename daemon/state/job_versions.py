"""Versions of a job: when a spec is a new one, and which old ones are kept. Pure.

Source: spec/scheduler.md 11 (register, versions).
"""

from __future__ import annotations

from msgspec.structs import replace

from daemon.model.enums import JobStatus
from daemon.model.job import Job

#: versions kept, with the latest.
VERSIONS_KEPT = 6


def same_spec(one: Job, other: Job) -> bool:
    """True when both ask for the same; status, stable, version, indexes and submit time do not count."""
    return _bare(one) == _bare(other)


def trimmed_versions(old: tuple[Job, ...], in_use: dict[int, int]) -> tuple[Job, ...]:
    """The old versions to keep, of those given newest first (without the latest).

    Kept are the newest ones, the newest stable one, and each that an allocation still refers to.
    """
    if len(old) < VERSIONS_KEPT:
        return old
    room = VERSIONS_KEPT - 1
    stable = next((job.version for job in old if job.stable), None)
    if stable is not None and all(job.version != stable for job in old[:room]):
        room -= 1
    return tuple(
        job for place, job in enumerate(old) if place < room or job.version == stable or job.version in in_use
    )


def _bare(job: Job) -> Job:
    return replace(
        job,
        status=JobStatus.PENDING,
        status_description="",
        stable=False,
        version=0,
        submit_time_ns=0,
        create_index=0,
        modify_index=0,
        job_modify_index=0,
    )
