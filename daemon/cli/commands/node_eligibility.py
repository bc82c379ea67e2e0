"""`encamp node eligibility`."""

from __future__ import annotations

import click

from daemon.cli import complete, resolve
from daemon.cli.framework import command, option
from daemon.cli.session import Session
from daemon.cli.with_session import with_session
from daemon.model.errors import InvalidInput
from daemon.rpc.methods import AGENT_SELF, NODE_ELIGIBILITY


@command("eligibility", example="encamp node eligibility -disable 3c9e")
@click.argument("node", required=False, shell_complete=complete.nodes)
@option("-enable", "enable", is_flag=True, help="Allow new work.")
@option("-disable", "disable", is_flag=True, help="Forbid new work; what runs goes on.")
@option("-self", "self_", is_flag=True, help="The node of the agent that answers.")
@with_session
def eligibility(session: Session, node: str | None, enable: bool, disable: bool, self_: bool) -> None:
    """Allow or forbid the placement of new work on a node. What runs there goes on."""
    if enable == disable:
        raise InvalidInput("give one of -enable and -disable")
    typed = session.call(AGENT_SELF).node_id if self_ else node
    if not typed:
        raise InvalidInput("give a node: its id, a prefix of it, its name, or -self")
    found = resolve.node(session, typed)
    word = "eligible" if enable else "ineligible"
    session.call(NODE_ELIGIBILITY, node_id=found.id, eligibility=word)
    session.console.line(f"Node {found.id[:8]} ({found.name}) is {word} for new work")
