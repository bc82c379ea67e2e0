"""`encamp eval list` and `encamp eval status`."""

from __future__ import annotations

import time

import click

from daemon.cli import complete, follow, resolve
from daemon.cli.framework import command, json_option, option, verbose_option
from daemon.cli.session import Session
from daemon.cli.views import evals as view
from daemon.cli.views.jobs import alloc_table
from daemon.cli.views.metrics import failures
from daemon.cli.with_session import with_session
from daemon.model.base import to_json
from daemon.rpc.methods import ALLOC_LIST, EVAL_GET, EVAL_LIST


@command("list", example="encamp eval list -job web -status blocked")
@option("-job", "job", default="", help="Only those of a job.", shell_complete=complete.jobs)
@option("-status", "status_", default="", metavar="STATUS", help="Only those with a status.")
@verbose_option
@json_option
@with_session
def list_(session: Session, job: str, status_: str, verbose: bool, as_json: bool) -> None:
    """List evaluations, newest first."""
    found = [each for page in session.pages(EVAL_LIST, job=job, status=status_) for each in page.evaluations]
    console = session.console
    if as_json:
        console.json(to_json(found, indent=2))
    else:
        console.lines(view.eval_list(found, verbose=verbose, color=console.color))


@command("status", example="encamp eval status 5f3a")
@click.argument("evaluation", shell_complete=complete.evals)
@option(
    "-monitor", "monitor", is_flag=True, help="Follow it until it is over; exits 2 on placement failures."
)
@verbose_option
@json_option
@with_session
def status(session: Session, evaluation: str, monitor: bool, verbose: bool, as_json: bool) -> int:
    """Show an evaluation, what it placed, and why it could not place the rest."""
    eval_id = resolve.eval_id(session, evaluation)
    if monitor:
        return follow.evaluation(session, eval_id, session.namespace, verbose=verbose).exit_code
    answer = session.call(EVAL_GET, id=eval_id)
    console, each = session.console, answer.evaluation
    if as_json:
        console.json(to_json(answer, indent=2))
        return 0
    console.lines(view.eval_pairs(each, verbose=verbose, color=console.color))
    console.section("Failed Placements", failures(each.failed_tg_allocs, answer.explanations))
    console.section(
        "Related Evaluations", view.related_table(answer.related, verbose=verbose, color=console.color)
    )
    placed = session.call(ALLOC_LIST, eval=eval_id, namespace=each.namespace).allocations
    rows = alloc_table(placed, time.time_ns(), verbose=verbose, color=console.color)
    console.section("Placed Allocations", rows)
    return 0
