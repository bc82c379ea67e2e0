"""`encamp system gc`."""

from __future__ import annotations

from daemon.cli.framework import command
from daemon.cli.session import Session
from daemon.cli.with_session import with_session
from daemon.rpc.methods import SYSTEM_GC

GC_S = 60.0


@command("gc", example="encamp system gc")
@with_session
def gc(session: Session) -> None:
    """Forget finished jobs, evaluations, allocations and nodes that are down, now instead of by their age."""
    session.call(SYSTEM_GC, timeout_s=GC_S)
