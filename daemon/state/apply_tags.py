"""Apply: what is known of a job's versions: that one is good, or has a name. Pure.

Source: spec/scheduler.md 11; spec/nomad-surface.md B2.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from daemon.model.errors import Conflict, NotFound
from daemon.model.job import Job, VersionTag
from daemon.state.alloc_table import JobKey
from daemon.state.changes import JobRegistered
from daemon.state.commands import JobStable, JobTag
from daemon.state.draft import Draft


def apply_stable(draft: Draft, command: JobStable) -> None:
    """Note whether a version is known to be good."""
    key = (command.namespace, command.job_id)
    if _version(draft, key, command.version) is None:
        draft.changes.result = _unknown(key, command.version)
        return
    set_stable(draft, key, command.version, command.stable)
    _answer(draft, key, command.version)


def apply_tag(draft: Draft, command: JobTag) -> None:
    """Name a version, or take the name away. A name belongs to one version of a job."""
    key = (command.namespace, command.job_id)
    holder = next((job for job in _versions(draft, key) if _is_named(job, command.name)), None)
    if command.version < 0:
        if holder is None:
            draft.changes.result = NotFound(
                f"job {key[1]} in namespace {key[0]} has no version with the tag {command.name!r}",
                job_id=key[1],
            )
            return
        _set(draft, key, holder.version, version_tag=None)
        _answer(draft, key, holder.version)
        return
    if _version(draft, key, command.version) is None:
        draft.changes.result = _unknown(key, command.version)
        return
    if holder is not None and holder.version != command.version:
        draft.changes.result = Conflict(
            f"the tag {command.name!r} is on version {holder.version} of job {key[1]}; unset it there first",
            job_id=key[1],
        )
        return
    tag = VersionTag(name=command.name, description=command.description, tagged_time_ns=draft.time_ns)
    _set(draft, key, command.version, version_tag=tag)
    _answer(draft, key, command.version)


def set_stable(draft: Draft, key: JobKey, version: int, stable: bool) -> None:
    """Note whether a version is known to be good, if it is still kept."""
    found = _version(draft, key, version)
    if found is not None and found.stable != stable:
        _set(draft, key, version, stable=stable)


def _set(draft: Draft, key: JobKey, version: int, **facts: Any) -> None:
    """Change what is known of a version. Whoever follows the job hears of it by the latest one's index."""
    latest = draft.tables.jobs.get(key)
    if latest is None:
        return
    if latest.version == version:
        draft.put_job(replace(latest, modify_index=draft.index, **facts))
        return
    old = draft.tables.old_versions.get(key) or ()
    draft.tables.old_versions.put(
        key, tuple(replace(job, **facts) if job.version == version else job for job in old)
    )
    draft.put_job(replace(latest, modify_index=draft.index))


def _is_named(job: Job, name: str) -> bool:
    return job.version_tag is not None and job.version_tag.name == name


def _versions(draft: Draft, key: JobKey) -> tuple[Job, ...]:
    latest = draft.tables.jobs.get(key)
    return (latest, *(draft.tables.old_versions.get(key) or ())) if latest is not None else ()


def _version(draft: Draft, key: JobKey, version: int) -> Job | None:
    return next((job for job in _versions(draft, key) if job.version == version), None)


def _unknown(key: JobKey, version: int) -> NotFound:
    return NotFound(
        f"job version not found: job {key[1]} in namespace {key[0]} has no version {version}", job_id=key[1]
    )


def _answer(draft: Draft, key: JobKey, version: int) -> None:
    latest = draft.tables.jobs.get(key)
    draft.changes.result = JobRegistered(
        job_modify_index=latest.job_modify_index if latest is not None else 0, version=version, changed=False
    )
