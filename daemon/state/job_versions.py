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
    """True when both ask for the same; status, stable, version, tag, indexes and submit time do not count."""
    return _bare(one) == _bare(other)


def trimmed_versions(old: tuple[Job, ...], in_use: dict[int, int]) -> tuple[Job, ...]:
    """The old versions to keep, of those given newest first (without the latest).

    Kept are the newest ones, the newest stable one, each that an allocation still refers to, and those with a tag,
    which do not count.
    """
    if len(old) < VERSIONS_KEPT:
        return old
    room = VERSIONS_KEPT - 1
    plain = [job.version for job in old if job.version_tag is None]
    stable = next((job.version for job in old if job.stable), None)
    if stable in plain and stable not in plain[:room]:
        room -= 1
    kept = {*plain[:room], stable}
    return tuple(
        job for job in old if job.version in kept or job.version in in_use or job.version_tag is not None
    )


def newest_stable(old: tuple[Job, ...]) -> Job | None:
    """The newest version, of those given newest first, that was rolled out well."""
    return next((job for job in old if job.stable and not job.stop), None)


def repeated(version: Job, submit_time_ns: int) -> Job:
    """An earlier version's spec, to be registered as a new version."""
    return replace(
        version, version_tag=None, stable=False, reverts_to=version.version, submit_time_ns=submit_time_ns
    )


def _bare(job: Job) -> Job:
    return replace(
        job,
        status=JobStatus.PENDING,
        status_description="",
        stable=False,
        version=0,
        version_tag=None,
        reverts_to=-1,
        submit_time_ns=0,
        create_index=0,
        modify_index=0,
        job_modify_index=0,
    )
