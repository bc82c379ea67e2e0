"""Job.Revert, Job.Stable and Job.TagVersion: what is done with the versions of a job.

Source: spec/scheduler.md 11; spec/nomad-surface.md B2.
"""

from __future__ import annotations

import msgspec

from daemon.model.enums import Trigger
from daemon.model.errors import Conflict, InvalidInput, NotFound, Unavailable
from daemon.model.job import Job
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.rpc.dispatch import Caller, Dispatcher, require
from daemon.server.context import ServerContext, is_parent
from daemon.server.periodic import next_ns
from daemon.server.queries import namespace_of
from daemon.state.changes import Changes, JobRegistered
from daemon.state.commands import JobRegister, JobStable, JobTag
from daemon.state.job_versions import repeated

TAG_CHARS_MAX = 128


class VersionEndpoints:
    """Handlers of what is done with versions."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context

    def register_in(self, dispatcher: Dispatcher) -> None:
        """Serve all of them."""
        dispatcher.serve(methods.JOB_REVERT, self.revert)
        dispatcher.serve(methods.JOB_STABLE, self.stable)
        dispatcher.serve(methods.JOB_TAG, self.tag)

    def _job(self, namespace: str, job_id: str) -> Job:
        job = self._context.state.job(namespace_of(namespace), require(job_id, "a job id"))
        if job is None:
            raise NotFound(f"job not found: {job_id!r} in namespace {namespace_of(namespace)!r}")
        return job

    async def revert(self, request: m.JobRevertRequest, caller: Caller) -> m.JobRegisterResponse:
        """Register an earlier version's spec as a new version. It is known, and needs no canaries."""
        self._context.admit("the job", False)
        job = self._job(request.namespace, request.job_id)
        prior = request.enforce_prior_version
        if prior is not None and prior != job.version:
            # programs match on "enforcing version"
            raise Conflict(f"enforcing version {prior}: job {job.id!r} is at version {job.version}")
        if request.job_version == job.version:
            raise InvalidInput(f"job {job.id!r} is at version {job.version} already")
        state = self._context.state
        version = state.job_version(job.namespace, job.id, request.job_version)
        if version is None:
            known = ", ".join(str(each.version) for each in state.job_versions(job.namespace, job.id))
            raise NotFound(
                f"job version not found: job {job.id!r} has no version {request.job_version}; kept are {known}"
            )
        now = self._context.clock.now_ns()
        again = msgspec.structs.replace(repeated(version, now), stop=False)
        evaluation = None if is_parent(again) else self._context.evaluation(again, Trigger.JOB_REGISTER)
        changes = await self._context.propose(
            JobRegister(
                time_ns=now,
                job=again,
                source=state.job_source(job.namespace, job.id, version.version),
                evaluation=evaluation,
                enforce_index=job.job_modify_index,
                next_launch_ns=next_ns(again, None),
            )
        )
        registered = _registered(changes)
        return m.JobRegisterResponse(
            index=changes.index,
            eval_id=registered.eval_id,
            eval_create_index=changes.index if registered.eval_id else 0,
            job_modify_index=registered.job_modify_index,
            version=registered.version,
        )

    async def stable(self, request: m.JobStableRequest, caller: Caller) -> m.Empty:
        """Note whether a version is known to be good."""
        job = self._job(request.namespace, request.job_id)
        changes = await self._context.propose(
            JobStable(
                time_ns=self._context.clock.now_ns(),
                namespace=job.namespace,
                job_id=job.id,
                version=request.job_version,
                stable=request.stable,
            )
        )
        return m.Empty(index=changes.index)

    async def tag(self, request: m.JobTagRequest, caller: Caller) -> m.JobTagResponse:
        """Name a version, or take the name away."""
        job = self._job(request.namespace, request.job_id)
        name = require(request.name.strip(), "a tag name")
        if len(name) > TAG_CHARS_MAX or not name.isprintable():
            raise InvalidInput(f"a tag name has at most {TAG_CHARS_MAX} characters, all of them printable")
        version = job.version if request.version is None else request.version
        if version < 0:
            raise InvalidInput(f"there is no version {version}")
        changes = await self._context.propose(
            JobTag(
                time_ns=self._context.clock.now_ns(),
                namespace=job.namespace,
                job_id=job.id,
                name=name,
                version=-1 if request.unset else version,
                description=request.description,
            )
        )
        found = self._context.state.job_version(job.namespace, job.id, _registered(changes).version)
        return m.JobTagResponse(
            index=changes.index,
            version=_registered(changes).version,
            tag=found.version_tag if found is not None else None,
        )


def _registered(changes: Changes) -> JobRegistered:
    if not isinstance(changes.result, JobRegistered):
        raise Unavailable(f"the log answered a change of a job's version with {changes.result!r}")
    return changes.result
