"""Job.*: register, plan, stop, read.

Source: spec/scheduler.md 11; spec/nomad-surface.md B2.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec

from daemon.jobspec.diff import annotate, diff_jobs
from daemon.jobspec.rules.problem import Problem
from daemon.jobspec.validate import validate_job
from daemon.model.alloc import DesiredTransition
from daemon.model.defaults import canonicalize
from daemon.model.enums import Trigger
from daemon.model.errors import InvalidInput, NotFound, Unavailable
from daemon.model.job import Job
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.rpc.dispatch import Caller, Dispatcher, require
from daemon.server.context import ServerContext, is_parent
from daemon.server.dryrun import DryRunner
from daemon.server.endpoints.scaling import JOB_COUNT_MAX
from daemon.server.periodic import next_ns
from daemon.server.queries import namespace_of
from daemon.server.why import why
from daemon.state.changes import JobRegistered
from daemon.state.commands import AllocTransition, EvalsUpsert, JobDeregister, JobRegister

SOURCE_BYTES_MAX = 1_000_000


class JobEndpoints:
    """Handlers of Job.*."""

    def __init__(self, context: ServerContext, dry_runner: DryRunner) -> None:
        self._context = context
        self._dry_runner = dry_runner

    def register_in(self, dispatcher: Dispatcher) -> None:
        """Serve all of them."""
        dispatcher.serve(methods.JOB_REGISTER, self.register)
        dispatcher.serve(methods.JOB_VALIDATE, self.validate)
        dispatcher.serve(methods.JOB_PLAN, self.plan)
        dispatcher.serve(methods.JOB_VERSIONS, self.versions)
        dispatcher.serve(methods.JOB_SOURCE, self.source)
        dispatcher.serve(methods.JOB_DEREGISTER, self.deregister)
        dispatcher.serve(methods.JOB_EVALUATE, self.evaluate)
        dispatcher.serve(methods.JOB_WHY, self.why)

    # ---- writes ----

    async def register(self, request: m.JobRegisterRequest, caller: Caller) -> m.JobRegisterResponse:
        """Create or change a job, and ask for its evaluation."""
        self._context.admit("the job", False)
        self._context.check_open("the job")
        job = self._admit(request.job, request.namespace)
        if request.preserve_counts:
            job = _with_counts(job, self._context.state.job(*job.key))
        # a periodic or parameterized job is launched, never run itself
        evaluation = (
            None
            if is_parent(job)
            else self._context.evaluation(job, Trigger.JOB_REGISTER, priority=request.eval_priority)
        )
        source = request.submission
        warnings: tuple[str, ...] = ()
        if source is not None and len(source.source) > SOURCE_BYTES_MAX:
            source, warnings = None, ("the job file is larger than 1 MB; its text is not kept",)
        changes = await self._context.propose(
            JobRegister(
                time_ns=self._context.clock.now_ns(),
                job=job,
                source=source,
                evaluation=evaluation,
                enforce_index=request.job_modify_index if request.enforce_index else None,
                next_launch_ns=next_ns(job, None),
            )
        )
        registered = _registered(changes.result)
        return m.JobRegisterResponse(
            index=changes.index,
            eval_id=registered.eval_id,
            eval_create_index=changes.index if registered.eval_id else 0,
            job_modify_index=registered.job_modify_index,
            version=registered.version,
            warnings=warnings,
        )

    def _admit(self, job: Job, namespace: str) -> Job:
        """The job with defaults filled in. Raises InvalidInput with all that is wrong with it."""
        if namespace and namespace != job.namespace:
            job = msgspec.structs.replace(job, namespace=namespace)
        job = canonicalize(job)
        job = msgspec.structs.replace(job, submit_time_ns=self._context.clock.now_ns())
        found = validate_job(job)
        problems = [_words(problem) for problem in found if not problem.is_warning]
        if job.region not in ("global", self._context.region):
            problems.append(
                f"region: this cluster is {self._context.region!r}, the job asks for {job.region!r}"
            )
        if sum(group.count for group in job.task_groups) > JOB_COUNT_MAX:
            problems.append(f"group: the counts of all groups exceed {JOB_COUNT_MAX}")
        problems += self._context.check_places(job)
        before = self._context.state.job(job.namespace, job.id)
        if before is not None and before.type != job.type:
            problems.append(f"type: job {job.id!r} is {before.type.value} and cannot become {job.type.value}")
        if problems:
            raise InvalidInput(f"job {job.id!r} was refused: " + "; ".join(problems), problems=problems)
        return job

    async def validate(self, request: m.JobValidateRequest, caller: Caller) -> m.JobValidateResponse:
        """What Register would say, without writing."""
        try:
            self._admit(request.job, request.namespace)
        except InvalidInput as error:
            return m.JobValidateResponse(
                validation_errors=tuple(error.details.get("problems", [error.message]))
            )
        return m.JobValidateResponse(index=self._context.state.index)

    async def plan(self, request: m.JobPlanRequest, caller: Caller) -> m.JobPlanResponse:
        """What Register would do: the diff, and the scheduler's plan, nothing written."""
        job = self._admit(request.job, request.namespace)
        state = self._context.state
        before = state.job(job.namespace, job.id)
        attempt, explanations = await self._dry_runner.run(job)
        diff: dict[str, Any] | None = None
        if request.diff:
            diff = msgspec.to_builtins(annotate(diff_jobs(before, job), attempt.plan.annotations))
        return m.JobPlanResponse(
            index=state.index,
            diff=diff,
            annotations=attempt.plan.annotations,
            failed_tg_allocs=attempt.evaluation.failed_tg_allocs,
            explanations=explanations,
            job_modify_index=before.job_modify_index if before is not None else 0,
            next_periodic_launch_ns=next_ns(job, None),
        )

    async def deregister(self, request: m.JobDeregisterRequest, caller: Caller) -> m.EvalIdResponse:
        """Stop a job. An unknown job is no error (spec/nomad-surface.md B2)."""
        self._context.admit("the stop", True)
        namespace = namespace_of(request.namespace)
        job = self._context.state.job(namespace, require(request.id, "a job id"))
        if job is None:
            return m.EvalIdResponse(index=self._context.state.index)
        evaluation = (
            None
            if is_parent(job)
            else self._context.evaluation(job, Trigger.JOB_DEREGISTER, priority=request.eval_priority)
        )
        changes = await self._context.propose(
            JobDeregister(
                time_ns=self._context.clock.now_ns(),
                namespace=namespace,
                job_id=job.id,
                purge=request.purge,
                evaluation=evaluation,
                no_shutdown_delay=request.no_shutdown_delay,
            )
        )
        return m.EvalIdResponse(
            index=changes.index,
            eval_id=evaluation.id if evaluation is not None else "",
            eval_create_index=changes.index if evaluation is not None else 0,
            job_modify_index=_registered(changes.result).job_modify_index,
        )

    async def evaluate(self, request: m.JobEvaluateRequest, caller: Caller) -> m.EvalIdResponse:
        """A new evaluation; with force_reschedule failed allocations are replaced now."""
        self._context.admit("the evaluation", False)
        job = self._job(request.namespace, request.id)
        if is_parent(job):
            what = "periodic" if job.periodic is not None else "parameterized"
            raise InvalidInput(f"job {job.id!r} is {what}: only its launches have evaluations")
        evaluation = self._context.evaluation(job, Trigger.JOB_REGISTER)
        now = self._context.clock.now_ns()
        failed = [
            alloc.id
            for alloc in self._context.state.allocs_by_job(job.namespace, job.id)
            if alloc.client_status == "failed" and not alloc.next_allocation
        ]
        if request.force_reschedule and failed:
            transition = DesiredTransition(force_reschedule=True)
            changes = await self._context.propose(
                AllocTransition(
                    time_ns=now, transitions=dict.fromkeys(failed, transition), evaluations=(evaluation,)
                )
            )
        else:
            changes = await self._context.propose(EvalsUpsert(time_ns=now, evaluations=(evaluation,)))
        return m.EvalIdResponse(index=changes.index, eval_id=evaluation.id, eval_create_index=changes.index)

    # ---- reads ----

    def _job(self, namespace: str, job_id: str) -> Job:
        job = self._context.state.job(namespace_of(namespace), require(job_id, "a job id"))
        if job is None:
            raise NotFound(f"job not found: {job_id!r} in namespace {namespace_of(namespace)!r}")
        return job

    async def versions(self, request: m.IdQuery, caller: Caller) -> m.JobVersionsResponse:
        """All versions kept, newest first, with what each changed."""
        job = self._job(request.namespace, request.id)
        versions = tuple(self._context.state.job_versions(job.namespace, job.id))
        diffs = tuple(msgspec.to_builtins(diff_jobs(older, newer)) for newer, older in pairwise(versions))
        return m.JobVersionsResponse(index=job.modify_index, versions=versions, diffs=diffs)

    async def source(self, request: m.JobSourceRequest, caller: Caller) -> m.JobSourceResponse:
        """The text that a version was made from."""
        job = self._job(request.namespace, request.id)
        version = job.version if request.version < 0 else request.version
        source = self._context.state.job_source(job.namespace, job.id, version)
        if source is None:
            raise NotFound(
                f"job source not found: version {version} of {job.id!r} was submitted without its text"
            )
        return m.JobSourceResponse(index=job.modify_index, submission=source, version=version)

    async def why(self, request: m.IdQuery, caller: Caller) -> m.JobWhyResponse:
        """Why the job is not where it should be, in plain words."""
        return why(self._context.state, self._job(request.namespace, request.id))


def _with_counts(job: Job, stored: Job | None) -> Job:
    """The job with the counts that its groups have now; new groups keep theirs."""
    counts = {group.name: group.count for group in stored.task_groups} if stored is not None else {}
    groups = tuple(
        msgspec.structs.replace(group, count=counts.get(group.name, group.count)) for group in job.task_groups
    )
    return msgspec.structs.replace(job, task_groups=groups)


def _words(problem: Problem) -> str:
    where = " ".join(problem.path)
    return f"{where}: {problem.message}" if where else problem.message


def _registered(result: object) -> JobRegistered:
    if not isinstance(result, JobRegistered):
        raise Unavailable(f"the log answered a job registration with {result!r}")
    return result
