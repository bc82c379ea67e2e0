"""The cluster as it is now, read over the RPC, as a state that a simulation may change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daemon.cli.session import Session
from daemon.rpc.methods import ALLOC_LIST, JOB_LIST, JOB_VERSIONS, NODE_GET, NODE_LIST, SCHEDULER_GET_CONFIG

if TYPE_CHECKING:
    from daemon.model.alloc import Allocation
    from daemon.model.job import Job
    from daemon.model.node import Node
    from daemon.state.state import State


def read_cluster(session: Session, now_ns: int) -> State:
    """All nodes, jobs and allocations, and the scheduler's settings; page by page, so not of one index.

    What changes while it is read may be seen half: an allocation whose node or job is not there is left out.
    """
    from daemon.state.commands import SchedulerConfigSet
    from daemon.state.state import State

    nodes = _nodes(session)
    jobs = _jobs(session)
    known, node_ids = {versions[0].key for versions in jobs}, {node.id for node in nodes}
    allocs = [
        alloc
        for alloc in _allocs(session)
        if alloc.node_id in node_ids and (alloc.namespace, alloc.job_id) in known
    ]
    rows: list[Node | Job | Allocation] = [*nodes, *(versions[0] for versions in jobs), *allocs]
    index = max((row.modify_index for row in rows), default=1)
    state = State.assembled(index, now_ns, nodes, jobs, allocs)
    config = session.call(SCHEDULER_GET_CONFIG).scheduler_config
    state.apply(index + 1, SchedulerConfigSet(time_ns=now_ns, config=config))
    return state


def _nodes(session: Session) -> list[Node]:
    ids = [stub.id for page in session.pages(NODE_LIST) for stub in page.nodes]
    return [session.call(NODE_GET, id=id_).node for id_ in ids]


def _jobs(session: Session) -> list[tuple[Job, ...]]:
    stubs = [stub for page in session.pages(JOB_LIST, namespace="*", children=True) for stub in page.jobs]
    return [session.call(JOB_VERSIONS, id=stub.id, namespace=stub.namespace).versions for stub in stubs]


def _allocs(session: Session) -> list[Allocation]:
    return [each for page in session.pages(ALLOC_LIST, namespace="*") for each in page.allocations]
