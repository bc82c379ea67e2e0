"""`encamp node drain`."""

from __future__ import annotations

import sys

import click

from daemon.cli import complete, drain_follow, resolve
from daemon.cli.durations import DURATION
from daemon.cli.framework import command, json_option, option, verbose_option
from daemon.cli.session import Session
from daemon.cli.with_session import with_session
from daemon.model.base import NS_PER_S, to_json
from daemon.model.errors import InvalidInput
from daemon.rpc.messages import DrainSpec, NodeDrainResponse, NodeStub
from daemon.rpc.methods import AGENT_SELF, NODE_DRAIN

DEADLINE_S = 3600.0


@command(
    "drain",
    example="encamp node drain -enable -deadline 30m -m 'new disk' 3c9e\nencamp node drain -disable 3c9e",
)
@click.argument("node", required=False, shell_complete=complete.nodes)
@option("-enable", "enable", is_flag=True, help="Move all work off the node, and take no new work.")
@option("-disable", "disable", is_flag=True, help="End the drain; the node takes work again.")
@option("-monitor", "monitor", is_flag=True, help="Follow a drain that somebody has begun.")
@option("-deadline", "deadline_s", type=DURATION, default=None, metavar="TIME", help="Default: 1h.")
@option("-force", "force", is_flag=True, help="Move everything now, whatever the jobs say.")
@option("-no-deadline", "no_deadline", is_flag=True, help="Wait for batch work and slow jobs for ever.")
@option("-ignore-system", "ignore_system", is_flag=True, help="Let system jobs run on.")
@option("-keep-ineligible", "keep", is_flag=True, help="With -disable: the node takes no new work.")
@option("-m", "message", default="", metavar="TEXT", help="Why; kept with the node.")
@option("-meta", "meta", multiple=True, metavar="KEY=VALUE", help="Kept with the node. Repeatable.")
@option("-detach", "detach", is_flag=True, help="Do not follow the drain.")
@option("-self", "self_", is_flag=True, help="The node of the agent that answers.")
@option("-yes", "yes", is_flag=True, help="Do not ask when only the beginning of the id was given.")
@verbose_option
@json_option
@with_session
def drain(
    session: Session,
    node: str | None,
    enable: bool,
    disable: bool,
    monitor: bool,
    deadline_s: float | None,
    force: bool,
    no_deadline: bool,
    ignore_system: bool,
    keep: bool,
    message: str,
    meta: tuple[str, ...],
    detach: bool,
    self_: bool,
    yes: bool,
    verbose: bool,
    as_json: bool,
) -> int:
    """Move all work off a node, at the pace that the jobs' migrate blocks allow, and follow it to the end.

    Services are moved step by step; batch work may finish until the deadline; system jobs go last. Then the node
    stays ineligible, until `encamp node eligibility -enable`. Ctrl-C stops following, not the drain.
    """
    if enable + disable > 1 or not (enable or disable or monitor):
        raise InvalidInput("give one of -enable, -disable and -monitor")
    if sum((deadline_s is not None, force, no_deadline)) > 1:
        raise InvalidInput("-deadline, -force and -no-deadline exclude each other")
    if not enable and (deadline_s is not None or force or no_deadline or ignore_system):
        raise InvalidInput("-deadline, -force, -no-deadline and -ignore-system belong to -enable")
    if keep and not disable:
        raise InvalidInput("-keep-ineligible belongs to -disable; after a drain a node is ineligible anyway")
    notes = _notes(message, meta)
    found = _node(session, node, self_, ask=not (yes or monitor))
    if not (enable or disable):
        if not found.drain:
            session.console.line(
                f'Node "{found.id}" is not draining; `encamp node status` shows its last drain'
            )
            return 0
        return drain_follow.follow(session, found, verbose=verbose)
    spec = None
    if enable:
        length = -1.0 if force else 0.0 if no_deadline else DEADLINE_S if deadline_s is None else deadline_s
        if length == 0 and not no_deadline:
            raise InvalidInput("a deadline of 0 is none: give -no-deadline, or -force to move everything now")
        spec = DrainSpec(deadline_ns=int(length * NS_PER_S), ignore_system_jobs=ignore_system)
    answer = session.call(
        NODE_DRAIN, node_id=found.id, drain_spec=spec, mark_eligible=disable and not keep, meta=notes
    )
    _say(session, found, answer, as_json, enable=enable, keep=keep)
    if disable or (detach and not monitor):
        return 0
    return drain_follow.follow(session, found, verbose=verbose)


def _say(
    session: Session, node: NodeStub, answer: NodeDrainResponse, as_json: bool, *, enable: bool, keep: bool
) -> None:
    if as_json:
        session.console.json(to_json(answer, indent=2))
        session.console.progress_to_stderr = True
    elif enable:
        session.console.line(f'Node "{node.id}" drain strategy set')
    else:
        left = "stays ineligible" if keep else "takes new work again"
        session.console.line(f'Node "{node.id}" drain strategy unset; it {left}')


def _node(session: Session, typed: str | None, self_: bool, *, ask: bool) -> NodeStub:
    if self_:
        typed = session.call(AGENT_SELF).node_id
    if not typed:
        raise InvalidInput("give a node: its id, a prefix of it, its name, or -self")
    found = resolve.node(session, typed)
    if ask and typed not in (found.id, found.name):
        if not sys.stdin.isatty():
            raise InvalidInput(
                f'"{typed}" is only the beginning of node "{found.id}": give the whole id, its name, or -yes'
            )
        if not click.confirm(f'Drain: is node "{found.id}" ({found.name}) meant?', default=False):
            raise click.Abort
    return found


def _notes(message: str, meta: tuple[str, ...]) -> dict[str, str]:
    notes: dict[str, str] = {}
    for pair in meta:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InvalidInput(f"-meta {pair!r}: write KEY=VALUE")
        notes[key] = value
    if message:
        notes["message"] = message
    return notes
