"""`encamp job scale` and `encamp job scaling-events`."""

from __future__ import annotations

import click

from daemon.cli import complete, follow, resolve
from daemon.cli.framework import command, json_option, option, verbose_option
from daemon.cli.session import Session
from daemon.cli.text import clean, iso, short, table
from daemon.cli.with_session import with_session
from daemon.model.base import to_json
from daemon.model.errors import InvalidInput
from daemon.rpc.methods import JOB_SCALE, JOB_SCALE_STATUS


@command("scale", example="encamp job scale web 5\nencamp job scale shop frontend 5")
@click.argument("job", shell_complete=complete.jobs)
@click.argument("words", nargs=-1, required=True, metavar="[GROUP] COUNT")
@option("-m", "message", default="", metavar="TEXT", help="Why; kept with the job.")
@option("-detach", "detach", is_flag=True, help="Do not follow the evaluation.")
@verbose_option
@json_option
@with_session
def scale(
    session: Session,
    job: str,
    words: tuple[str, ...],
    message: str,
    detach: bool,
    verbose: bool,
    as_json: bool,
) -> int:
    """Change the count of a group. A job with one group needs no GROUP.

    Refused while a deployment of the job is under way, and outside of the group's scaling block. Exits 2 when
    something could not be placed.
    """
    if len(words) > 2 or not words[-1].isdigit():
        raise InvalidInput("write `job scale JOB [GROUP] COUNT`, with a count of 0 or more")
    stub = resolve.job(session, job)
    answer = session.call(
        JOB_SCALE,
        job_id=stub.id,
        namespace=stub.namespace,
        group=words[0] if len(words) == 2 else "",
        count=int(words[-1]),
        message=message,
    )
    if as_json:
        session.console.json(to_json(answer, indent=2))
        session.console.progress_to_stderr = True
    else:
        session.console.line(f"Job scale successful; version {answer.version}")
        session.console.line(f"Evaluation ID: {answer.eval_id or '<none>'}")
    if detach or not answer.eval_id:
        return 0
    return follow.evaluation(session, answer.eval_id, stub.namespace, verbose=verbose).exit_code


@command("scaling-events", example="encamp job scaling-events web")
@click.argument("job", shell_complete=complete.jobs)
@verbose_option
@json_option
@with_session
def events(session: Session, job: str, verbose: bool, as_json: bool) -> None:
    """List the last changes of count of a job's groups, newest first."""
    stub = resolve.job(session, job)
    answer = session.call(JOB_SCALE_STATUS, id=stub.id, namespace=stub.namespace)
    if as_json:
        session.console.json(to_json(answer, indent=2))
        return
    rows = [
        [
            clean(group),
            "<none>" if event.count is None else str(event.count),
            str(event.previous_count),
            "true" if event.error else "false",
            clean(event.message),
            short(event.eval_id, verbose),
            iso(event.time_ns),
        ]
        for group, found in sorted(answer.events.items())
        for event in found
    ]
    header = ("Task Group", "Count", "PrevCount", "Error", "Message", "Eval ID", "Date")
    if rows:
        session.console.lines(table(header, rows, color=session.console.color))
    else:
        session.console.line("No events found")
