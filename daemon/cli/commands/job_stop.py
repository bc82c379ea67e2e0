"""`encamp job stop`."""

from __future__ import annotations

import sys
from typing import Any

import click

from daemon.cli import complete, follow, resolve
from daemon.cli.framework import command, option, verbose_option
from daemon.cli.session import Session
from daemon.cli.with_session import with_session
from daemon.model.errors import InvalidInput, NotFound
from daemon.rpc.methods import ALLOC_LIST, JOB_DEREGISTER, JOB_GET


@command("stop", example="encamp job stop web\nencamp job stop -purge -yes web")
@click.argument("job", shell_complete=complete.jobs)
@option("-purge", "purge", is_flag=True, help="Forget the job too: its versions and its history.")
@option("-detach", "detach", is_flag=True, help="Do not wait until it has stopped.")
@option("-yes", "yes", is_flag=True, help="Do not ask when only the beginning of the id was given.")
@option("-no-shutdown-delay", "no_delay", is_flag=True, help="Do not wait the job's shutdown_delay.")
@option("-eval-priority", "priority", type=click.IntRange(1, 100), default=None, help="Of the evaluation.")
@verbose_option
@with_session
def stop(
    session: Session,
    job: str,
    purge: bool,
    detach: bool,
    yes: bool,
    no_delay: bool,
    priority: int | None,
    verbose: bool,
) -> int:
    """Stop a job and wait until none of its allocations runs.

    Exits 1 when something still runs after the job's own delays and kill timeouts.
    """
    stub = resolve.job(session, job)
    if stub.id != job and not yes:
        _confirm(job, stub.id)
    at: dict[str, Any] = {"namespace": stub.namespace}
    stopped = session.call(JOB_GET, id=stub.id, **at).job
    answer = session.call(
        JOB_DEREGISTER,
        id=stub.id,
        purge=purge,
        no_shutdown_delay=no_delay,
        eval_priority=priority or 0,
        **at,
    )
    if detach:
        session.console.line(f"Evaluation ID: {answer.eval_id}")
        return 0
    follower = follow.Follower(session, stub.namespace, verbose=verbose)
    if answer.eval_id:
        try:
            verdict = follower.evaluation(answer.eval_id)
        except NotFound:
            # A purged job's evaluation may be gone already; what counts is whether anything still runs.
            verdict = None
        if verdict is not None and verdict.exit_code == 1:
            return follower.end(verdict).exit_code
    follower.allocs = session.call(ALLOC_LIST, job=stub.id, **at).allocations
    return follower.stopping(stopped).exit_code


def _confirm(typed: str, found: str) -> None:
    if not sys.stdin.isatty():
        raise InvalidInput(f'"{typed}" is only the beginning of job "{found}": give the whole id, or -yes')
    if not click.confirm(f'Stop job "{found}"?', default=False):
        raise click.Abort
