"""`encamp alloc status`."""

from __future__ import annotations

import time

import click

from daemon.cli import complete, resolve
from daemon.cli.framework import command, json_option, option, verbose_option
from daemon.cli.session import Session
from daemon.cli.text import title
from daemon.cli.views import allocs as view
from daemon.cli.views.metrics import metric_lines, score_lines
from daemon.cli.with_session import with_session
from daemon.model.base import to_json
from daemon.model.errors import EncampError
from daemon.rpc.messages import TaskUsage
from daemon.rpc.methods import ALLOC_GET, ALLOC_STATS


@command("status", example="encamp alloc status 8a1f")
@click.argument("alloc", shell_complete=complete.allocs)
@option("-stats", "stats", is_flag=True, help="Show what the tasks use now.")
@verbose_option
@json_option
@with_session
def status(session: Session, alloc: str, stats: bool, verbose: bool, as_json: bool) -> None:
    """Show an allocation: its addresses, its tasks, and the last things that happened to them.

    ALLOC is an id or a unique prefix of at least two characters.
    """
    found = resolve.allocation(session, alloc)
    answer = session.call(ALLOC_GET, id=found.id, namespace=found.namespace)
    console, whole = session.console, answer.allocation
    if as_json:
        console.json(to_json(whole, indent=2))
        return
    color = console.color
    console.lines(view.alloc_pairs(whole, time.time_ns(), verbose=verbose, color=color))
    console.section("Allocation Addresses", view.addresses(whole, answer.job, color=color))
    usage = _usage(session, whole.id, found.namespace) if stats else None
    console.lines(view.tasks(whole, answer.job, usage, color=color))
    if verbose and whole.metrics is not None:
        lines = [*metric_lines(whole.metrics), *score_lines(whole.metrics)]
        console.lines(["", title("Placement Metrics", color=color), *(f"  * {line}" for line in lines)])


def _usage(session: Session, alloc_id: str, namespace: str) -> dict[str, TaskUsage]:
    try:
        return session.call(ALLOC_STATS, id=alloc_id, namespace=namespace).tasks
    except EncampError as error:
        session.console.warn(f"no usage: {error}")
        return {}
