"""`encamp job eval`: make the servers look at a job again."""

from __future__ import annotations

import click

from daemon.cli import complete, follow, resolve
from daemon.cli.framework import command, json_option, option, verbose_option
from daemon.cli.session import Session
from daemon.cli.with_session import with_session
from daemon.model.base import to_json
from daemon.rpc.methods import JOB_EVALUATE


@command("eval", example="encamp job eval -force-reschedule web")
@click.argument("job", shell_complete=complete.jobs)
@option("-force-reschedule", "force", is_flag=True, help="Replace failed allocations now.")
@option("-detach", "detach", is_flag=True, help="Do not follow the evaluation.")
@verbose_option
@json_option
@with_session
def evaluate(session: Session, job: str, force: bool, detach: bool, verbose: bool, as_json: bool) -> int:
    """Make a new evaluation of a job, and follow it. Exits 2 when something could not be placed."""
    stub = resolve.job(session, job)
    answer = session.call(JOB_EVALUATE, id=stub.id, namespace=stub.namespace, force_reschedule=force)
    if as_json:
        session.console.json(to_json(answer, indent=2))
        session.console.progress_to_stderr = True
    if detach or not answer.eval_id:
        if not as_json:
            session.console.line(f"Evaluation ID: {answer.eval_id}")
        return 0
    return follow.evaluation(session, answer.eval_id, stub.namespace, verbose=verbose).exit_code
