"""`encamp node status`."""

from __future__ import annotations

import time

import click

from daemon.cli import complete, resolve
from daemon.cli.framework import command, json_option, option, verbose_option
from daemon.cli.session import Session
from daemon.cli.text import size, table
from daemon.cli.views import nodes as view
from daemon.cli.views.jobs import alloc_table
from daemon.cli.with_session import with_session
from daemon.model.alloc import Allocation
from daemon.model.base import to_json
from daemon.model.errors import EncampError, InvalidInput
from daemon.rpc.messages import NodeResponse
from daemon.rpc.methods import AGENT_SELF, ALLOC_LIST, ALLOC_STATS, NODE_GET, NODE_LIST, NODE_STATS


@command("status", example="encamp node status\nencamp node status -stats -self")
@click.argument("node", required=False, shell_complete=complete.nodes)
@option("-self", "self_", is_flag=True, help="The node of the agent that answers.")
@option("-stats", "stats", is_flag=True, help="Show what the machine and the allocations use now.")
@verbose_option
@json_option
@with_session
def status(
    session: Session, node: str | None, self_: bool, stats: bool, verbose: bool, as_json: bool
) -> None:
    """List nodes, or show one with its drivers, its resources and its allocations.

    NODE is an id, a unique prefix of one, or a name.
    """
    if self_:
        node = session.call(AGENT_SELF).node_id
        if not node:
            raise InvalidInput("the agent that answers is no node; name one, `encamp node status` lists them")
    if node is not None:
        _one(session, resolve.node(session, node).id, stats, verbose, as_json)
        return
    stubs = [stub for page in session.pages(NODE_LIST) for stub in page.nodes]
    if as_json:
        session.console.json(to_json(stubs, indent=2))
    else:
        session.console.lines(view.node_list(stubs, verbose=verbose, color=session.console.color))


def _one(session: Session, node_id: str, stats: bool, verbose: bool, as_json: bool) -> None:
    answer = session.call(NODE_GET, id=node_id)
    allocs = [
        each for page in session.pages(ALLOC_LIST, node=node_id, namespace="*") for each in page.allocations
    ]
    console = session.console
    if as_json:
        console.json(to_json({"Node": answer.node, "Allocations": allocs}, indent=2))
        return
    _details(session, answer, verbose)
    if stats:
        _stats(session, answer, allocs)
    shown = allocs if verbose else [each for each in allocs if not each.terminal]
    rows = alloc_table(shown, time.time_ns(), verbose=verbose, color=console.color, by_node=True)
    console.section("Allocations", rows or ["No allocations placed"])


def _details(session: Session, answer: NodeResponse, verbose: bool) -> None:
    console, color = session.console, session.console.color
    console.lines(view.node_pairs(answer.node, time_ns=time.time_ns(), color=color))
    console.section("Drivers", view.drivers(answer.node, color=color))
    console.section("Node Events", view.node_events(answer.node, color=color))
    console.section("Allocated Resources", view.allocated(answer, color=color))
    if verbose:
        console.section("Attributes", view.facts(answer.node.attributes, color=color))
        console.section("Meta", view.facts(answer.node.meta, color=color))


def _stats(session: Session, answer: NodeResponse, allocs: list[Allocation]) -> None:
    console = session.console
    try:
        usage = session.call(NODE_STATS, id=answer.node.id)
    except EncampError as error:
        console.warn(f"no usage of node {answer.node.id[:8]}: {error}")
        return
    console.section("Host Resource Utilization", view.host_usage(usage, color=console.color))
    rows: list[list[str]] = []
    for alloc in allocs:
        if alloc.client_status != "running":
            continue
        try:
            tasks = session.call(ALLOC_STATS, id=alloc.id, namespace=alloc.namespace).tasks
        except EncampError as error:
            console.warn(f"no usage of allocation {alloc.id[:8]}: {error}")
            continue
        rows += [
            [alloc.id[:8], name, f"{used.cpu_mhz:.0f} MHz", size(used.memory_rss_bytes), str(used.pids)]
            for name, used in sorted(tasks.items())
        ]
    header = ("Alloc ID", "Task", "CPU", "Memory", "Processes")
    console.section(
        "Allocation Resource Utilization", table(header, rows, color=console.color) if rows else []
    )
