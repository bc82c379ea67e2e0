"""`encamp job run`: submit a file, then follow it until it is what was asked for."""

from __future__ import annotations

import os
import time
from typing import Any

import click

from daemon.cli import connect, follow, job_file
from daemon.cli.console import Console
from daemon.cli.durations import DURATION
from daemon.cli.framework import command, option, settings_of, verbose_option
from daemon.cli.judge import Outcome, Verdict
from daemon.cli.session import Session
from daemon.cli.views.launches import next_launch
from daemon.model.base import to_json
from daemon.model.enums import JobType
from daemon.model.job import Job, JobSource
from daemon.rpc.messages import JobRegisterResponse
from daemon.rpc.methods import ALLOC_LIST, EVAL_GET, JOB_GET, JOB_REGISTER

REGISTER_S = 30.0
#: following has the job's own deadlines; this one only keeps a script from waiting for ever.
FOLLOW_S = 24 * 3600.0


@command(
    "run",
    example="encamp job run -var image=web:2 web.hcl\nencamp job run -wait batch.hcl",
)
@job_file.file_options
@option(
    "-check-index",
    "check_index",
    type=click.IntRange(min=0),
    default=None,
    metavar="N",
    help="Submit only if the job's modify index is N; 0: only if the job is new.",
)
@option("-detach", "detach", is_flag=True, help="Submit and return at once.")
@option("-wait", "wait", is_flag=True, help="Batch jobs: wait until they are complete, not only placed.")
@option(
    "-until",
    "until",
    type=click.Choice(["promotable", "healthy"]),
    default="promotable",
    help="With canaries: until they wait for promotion (the default), or on until all is healthy.",
)
@option(
    "-timeout",
    "timeout_s",
    type=DURATION,
    default=FOLLOW_S,
    metavar="TIME",
    help="Follow no longer, as 90s or 5m.",
)
@option("-eval-priority", "priority", type=click.IntRange(1, 100), default=None, help="Of the evaluation.")
@option("-preserve-counts", "preserve_counts", is_flag=True, help="Keep the counts that groups have now.")
@option("-output", "output", is_flag=True, help="Print the job as JSON and do not submit it.")
@option(
    "-json-output", "json_output", is_flag=True, help="Print the result as JSON; progress goes to stderr."
)
@verbose_option
@click.pass_context
def run(
    ctx: click.Context,
    /,
    file: str,
    variables: tuple[str, ...],
    var_files: tuple[str, ...],
    json_input: bool,
    hcl1: bool,
    output: bool,
    **wishes: Any,
) -> int:
    """Submit a job file, and follow it until it is what was asked for.

    Service and system jobs: until all allocations are healthy, that is, their tasks have run for min_healthy_time,
    or until canaries wait for promotion; a rollout that fails, or takes the job back, is a failure.
    Batch jobs: until everything is placed; with -wait until it is complete. FILE may be `-` for stdin.

    Exits 0 only when that is true; 2 when something could not be placed (it stays submitted, and is placed when
    there is room); 1 on any other failure; 130 after Ctrl-C, which leaves the job submitted.
    """
    settings = settings_of(ctx)
    settings.merge_environment(os.environ)
    console = Console(settings.color)
    console.progress_to_stderr = bool(wishes["json_output"])
    job, source = job_file.load(
        console,
        settings,
        file=file,
        variables=variables,
        var_files=var_files,
        json_input=json_input,
        hcl1=hcl1,
    )
    if output:
        console.json(to_json({"Job": job}, indent=2))
        return 0
    with connect.session(settings, console) as session:
        return _submit(session, job, source, **wishes)


def _submit(
    session: Session,
    job: Job,
    source: JobSource,
    *,
    check_index: int | None,
    detach: bool,
    wait: bool,
    until: str,
    timeout_s: float,
    priority: int | None,
    preserve_counts: bool,
    json_output: bool,
    verbose: bool,
) -> int:
    answer = session.call(
        JOB_REGISTER,
        job=job,
        submission=source,
        enforce_index=check_index is not None,
        job_modify_index=check_index or 0,
        eval_priority=priority or 0,
        preserve_counts=preserve_counts,
        namespace=job.namespace,
        timeout_s=REGISTER_S,
    )
    for warning in answer.warnings:
        session.console.warn(warning)
    if detach or not answer.eval_id:
        verdict = Verdict(Outcome.REGISTERED, f'Job "{job.id}" is registered')
        if not json_output:
            session.console.progress(["Job registration successful", *_next(session, job, answer)])
    else:
        try:
            verdict = _follow(session, job, answer, wait, until == "healthy", timeout_s, verbose)
        except KeyboardInterrupt:
            session.console.note(f'\nJob "{job.id}" stays submitted; `encamp job status {job.id}` shows it')
            raise
    if json_output:
        session.console.json(to_json(_result(session, job, answer, verdict), indent=2))
    return verdict.exit_code


def _next(session: Session, job: Job, answer: JobRegisterResponse) -> list[str]:
    """The evaluation, or of a job that is launched how that comes about."""
    if answer.eval_id:
        return [f"Evaluation ID: {answer.eval_id}"]
    if job.parameterized_job is not None:
        return [f"`encamp job dispatch {job.id}` launches it"]
    found = session.call(JOB_GET, id=job.id, namespace=job.namespace).next_launch_ns
    return [f"Next launch: {next_launch(found, time.time_ns())}"]


def _follow(
    session: Session,
    job: Job,
    answer: JobRegisterResponse,
    wait: bool,
    until_healthy: bool,
    timeout_s: float,
    verbose: bool,
) -> Verdict:
    follower = follow.Follower(session, job.namespace, verbose=verbose)
    verdict = follower.evaluation(answer.eval_id, limit_s=min(timeout_s, follow.EVAL_LIMIT_S))
    if verdict.outcome is Outcome.BLOCKED:
        return follower.end(
            Verdict(
                Outcome.BLOCKED,
                f'Job "{job.id}" is submitted, but not all of it could be placed',
                (f"`encamp job why {job.id}` says what would place it.",),
            )
        )
    if verdict.outcome is not Outcome.PLACED:
        return verdict if verdict.outcome is Outcome.TIMED_OUT else follower.end(verdict)
    # As the servers hold it: with the defaults of blocks that the file does not have.
    job = follower.fetch(JOB_GET, id=job.id).job
    if job.type in (JobType.SERVICE, JobType.SYSTEM):
        return follower.health(job, answer.version, timeout_s, until_healthy=until_healthy)
    if wait:
        return follower.completion(job, answer.version, timeout_s)
    return follower.end(Verdict(Outcome.PLACED, f'Job "{job.id}" is placed; -wait would wait for its end'))


def _result(session: Session, job: Job, answer: JobRegisterResponse, verdict: Verdict) -> dict[str, Any]:
    at: dict[str, Any] = {"namespace": job.namespace}
    result: dict[str, Any] = {
        "JobID": job.id,
        "Namespace": job.namespace,
        "EvalID": answer.eval_id,
        "JobModifyIndex": answer.job_modify_index,
        "Version": answer.version,
        "Outcome": verdict.outcome.value,
        "ExitCode": verdict.exit_code,
        "Message": verdict.headline,
        "Details": verdict.lines,
        "Warnings": answer.warnings,
        "FailedTGAllocs": {},
        "Allocations": [],
    }
    if answer.eval_id and verdict.outcome is not Outcome.REGISTERED:
        result["FailedTGAllocs"] = session.call(EVAL_GET, id=answer.eval_id, **at).evaluation.failed_tg_allocs
        allocs = session.call(ALLOC_LIST, job=job.id, **at).allocations
        result["Allocations"] = [
            {
                "ID": each.id,
                "TaskGroup": each.task_group,
                "NodeID": each.node_id,
                "ClientStatus": each.client_status,
            }
            for each in allocs
            if each.job_version == answer.version and not each.server_terminal
        ]
    return result
