"""Following a drain live: read the node and its allocations, let `drain_watch` speak, wait. The shell of it.

Theory: level-triggered, bounded only by the drain itself: one without deadline is followed for as long as it takes.
After the drain's end the stopping tasks have their own kill timeouts, and STOPPING_S more.
"""

from __future__ import annotations

import time

from daemon.cli.drain_watch import DrainWatch
from daemon.cli.follow import Follower
from daemon.cli.session import Session
from daemon.cli.text import short, span
from daemon.cli.watch import Line
from daemon.model.alloc import Allocation
from daemon.rpc.messages import NodeStub
from daemon.rpc.methods import ALLOC_LIST, NODE_GET

#: tasks may take their kill timeouts, which the servers do not know here.
STOPPING_S = 600.0


def follow(session: Session, node: NodeStub, *, verbose: bool = False) -> int:
    """Follow until the drain is over and what it moved has stopped. 0: complete; 1: canceled, or still stopping."""
    follower = Follower(session, "*", verbose=verbose)
    watch = DrainWatch(verbose=verbose)
    ended_s: float | None = None
    while True:
        found = follower.changed(NODE_GET, id=node.id).node
        follower.say(watch.step(found, _allocs(session, node.id), time.time_ns()))
        if not watch.drained:
            continue
        id_ = short(node.id, verbose)
        if not watch.outcome:
            return 1
        if watch.empty:
            if watch.outcome == "complete":
                follower.say([Line(f'All allocations on node "{id_}" have stopped', info=True)])
            return 0 if watch.outcome == "complete" else 1
        ended_s = time.monotonic() if ended_s is None else ended_s
        if time.monotonic() - ended_s > STOPPING_S:
            follower.say([Line(f'Node "{id_}": something still stops after {span(STOPPING_S)}', info=True)])
            return 1


def _allocs(session: Session, node_id: str) -> list[Allocation]:
    pages = session.pages(ALLOC_LIST, node=node_id, namespace="*")
    return [alloc for page in pages for alloc in page.allocations]
