"""Node.*: what people read of nodes, and what nodes themselves send.

A node proves itself by the secret that it came with at its first registration; the comparison takes the same time
whatever differs. Source: spec/nomad-surface.md B3; spec/scheduler.md 1.4, 9.1.
"""

from __future__ import annotations

import hmac

import msgspec

from daemon.model.alloc import Allocation
from daemon.model.base import NS_PER_S
from daemon.model.enums import Eligibility, NodeStatus
from daemon.model.errors import InvalidInput, NotFound, PermissionDenied
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job
from daemon.model.node import DrainStrategy, Node, NodeEvent
from daemon.model.scopes import ALL
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.rpc.dispatch import Caller, Dispatcher, require
from daemon.server import node_evals
from daemon.server.context import ServerContext
from daemon.server.heartbeat import BEAT_S, Heartbeats
from daemon.server.links import NodeLinks
from daemon.server.liveness import status_of_returning
from daemon.server.node_watch import NodeWatch
from daemon.server.queries import WAIT_MAX_S, blocking, page, resolve
from daemon.state.commands import (
    AllocClientUpdate,
    ClientUpdate,
    NodeDrain,
    NodeEligibility,
    NodeRegister,
    NodeStatusUpdate,
)
from daemon.state.usage import usage_of

#: seconds between two beats of a node that has come back and is not ready yet.
RETURN_S = 0.5


class NodeEndpoints:
    """Handlers of Node.*."""

    def __init__(
        self, context: ServerContext, heartbeats: Heartbeats, links: NodeLinks, watch: NodeWatch
    ) -> None:
        self._context = context
        self._heartbeats = heartbeats
        self._links = links
        self._watch = watch

    def register_in(self, dispatcher: Dispatcher) -> None:
        """Serve all of them."""
        dispatcher.serve(methods.NODE_LIST, self.list)
        dispatcher.serve(methods.NODE_GET, self.get)
        dispatcher.serve(methods.NODE_ELIGIBILITY, self.eligibility)
        dispatcher.serve(methods.NODE_DRAIN, self.drain)
        dispatcher.serve(methods.NODE_REGISTER, self.register)
        dispatcher.serve(methods.NODE_HEARTBEAT, self.heartbeat)
        dispatcher.serve(methods.NODE_ALLOCS, self.allocs)
        dispatcher.serve(methods.NODE_FETCH, self.fetch)
        dispatcher.serve(methods.NODE_UPDATE_ALLOC, self.update_alloc)

    # ---- for people ----

    async def list(self, request: m.Query, caller: Caller) -> m.NodeListResponse:
        """Nodes in the order of their ids."""
        state = self._context.state

        def read() -> m.NodeListResponse:
            found = (node for node in state.nodes() if node.id.startswith(request.prefix))
            nodes, token = page(sorted(found, key=lambda node: node.id), lambda node: node.id, request)
            return m.NodeListResponse(
                index=state.table_index("nodes"), nodes=tuple(_stub(node) for node in nodes), next_token=token
            )

        return await blocking(self._context, request, read)

    async def get(self, request: m.IdQuery, caller: Caller) -> m.NodeResponse:
        """One node with what its allocations hold; its secret is blanked."""
        state = self._context.state

        def read() -> m.NodeResponse:
            node = self._node(resolve(state, "nodes", request.id, "node"))
            held = [a for a in state.allocs_by_node(node.id) if not a.client_terminal]
            usages = [usage_of(alloc.allocated_resources) for alloc in held]
            return m.NodeResponse(
                index=max(node.modify_index, 1),
                node=msgspec.structs.replace(node, secret_id=""),
                allocated_cpu=sum(usage.cpu for usage in usages),
                allocated_memory_mb=sum(usage.memory_mb for usage in usages),
                allocated_disk_mb=sum(usage.disk_mb for usage in usages),
                allocations=len(held),
            )

        return await blocking(self._context, request, read)

    async def eligibility(self, request: m.NodeEligibilityRequest, caller: Caller) -> m.EvalIdResponse:
        """Allow or forbid new work on a node."""
        state = self._context.state
        node = self._node(resolve(state, "nodes", request.node_id, "node"))
        try:
            wanted = Eligibility(request.eligibility)
        except ValueError:
            raise InvalidInput(
                f"eligibility is `eligible` or `ineligible`, not {request.eligibility!r}"
            ) from None
        evaluations = (
            node_evals.for_system_jobs(self._context, node) if wanted == Eligibility.ELIGIBLE else ()
        )
        changes = await self._context.propose(
            NodeEligibility(
                time_ns=self._context.clock.now_ns(),
                node_id=node.id,
                eligibility=wanted,
                evaluations=evaluations,
            )
        )
        return m.EvalIdResponse(index=changes.index, eval_id=evaluations[0].id if evaluations else "")

    async def drain(self, request: m.NodeDrainRequest, caller: Caller) -> m.NodeDrainResponse:
        """Begin, change or end the drain of a node."""
        node = self._node(resolve(self._context.state, "nodes", request.node_id, "node"))
        spec = request.drain_spec
        drain = None
        evaluations: tuple[Evaluation, ...] = ()
        if spec is not None:
            if request.mark_eligible:
                raise InvalidInput("a node that begins to drain cannot be made eligible; give one of the two")
            drain = DrainStrategy(deadline_ns=spec.deadline_ns, ignore_system_jobs=spec.ignore_system_jobs)
        elif request.mark_eligible:
            evaluations = node_evals.for_system_jobs(self._context, node)
        changes = await self._context.propose(
            NodeDrain(
                time_ns=self._context.clock.now_ns(),
                node_id=node.id,
                drain=drain,
                mark_eligible=request.mark_eligible,
                meta=request.meta,
                evaluations=evaluations,
            )
        )
        return m.NodeDrainResponse(
            index=changes.index,
            node_modify_index=changes.index,
            eval_id=evaluations[0].id if evaluations else "",
        )

    # ---- for nodes ----

    async def register(self, request: m.NodeRegisterRequest, caller: Caller) -> m.NodeHeartbeatResponse:
        """A node presents itself; it becomes ready with this (it has its own word for what runs there)."""
        node = request.node
        require(node.id, "a node id")
        require(node.secret_id, "the node's secret")
        if node.node_pool == ALL:
            raise InvalidInput(
                f"no node is in the pool {ALL!r} alone: it means every node; name another pool"
            )
        before = self._context.state.node(node.id)
        if before is not None:
            self._authenticate(node.id, node.secret_id)
        self._links.attach(node.id, caller)
        self._heartbeats.beat(node.id, self._context.clock.mono_s())
        now = self._context.clock.now_ns()
        new = before is None or before.status != NodeStatus.READY
        stored = msgspec.structs.replace(node, status=NodeStatus.READY, status_updated_at_ns=now)
        evaluations = node_evals.for_node(self._context, stored) if before is None else ()
        if before is not None and not new and _shape(before) != _shape(node):
            evaluations = node_evals.for_system_jobs(self._context, stored)
        changes = await self._context.propose(NodeRegister(time_ns=now, node=stored, evaluations=evaluations))
        status = NodeStatus.READY
        if before is not None and new:
            status = await self._come_back(before)
        return self._answer(changes.index, status)

    async def _come_back(self, node: Node) -> NodeStatus:
        """The node is heard of again: ready, or initializing until it has spoken of what was unknown."""
        now = self._context.clock.now_ns()
        status = status_of_returning(node, self._context.state.allocs_by_node(node.id))
        if status == node.status:
            return status
        ready = status == NodeStatus.READY
        message = "Node heartbeat resumed" if ready else "Node is back and reports what became of its work"
        event = NodeEvent(message=message, subsystem="Cluster", timestamp_ns=now)
        await self._context.propose(
            NodeStatusUpdate(
                time_ns=now,
                node_ids=(node.id,),
                status=status,
                event=event,
                evaluations=node_evals.for_node(self._context, node) if ready else (),
            )
        )
        return status

    @staticmethod
    def _answer(index: int, status: NodeStatus) -> m.NodeHeartbeatResponse:
        ready = status == NodeStatus.READY
        ttl_s = BEAT_S if ready else RETURN_S
        return m.NodeHeartbeatResponse(
            index=index, heartbeat_ttl_ns=int(ttl_s * NS_PER_S), report_all=not ready
        )

    async def heartbeat(self, request: m.NodeHeartbeatRequest, caller: Caller) -> m.NodeHeartbeatResponse:
        """Sign of life. A node that is unknown here is told to register again."""
        node = self._context.state.node(request.node_id)
        if node is None:
            return m.NodeHeartbeatResponse(heartbeat_ttl_ns=int(BEAT_S * NS_PER_S), register_again=True)
        self._authenticate(request.node_id, request.secret_id)
        self._links.attach(node.id, caller)
        self._heartbeats.beat(node.id, self._context.clock.mono_s())
        status = node.status
        if status != NodeStatus.READY:
            status = await self._come_back(node)
        return self._answer(self._context.state.index, status)

    async def allocs(self, request: m.NodeAllocsRequest, caller: Caller) -> m.NodeAllocsResponse:
        """The allocations that the node must know, with the index of their last change by the servers."""
        self._authenticate(request.node_id, request.secret_id)
        if request.min_query_index > 0:
            wait_s = min(WAIT_MAX_S, request.max_query_time_ns / NS_PER_S or WAIT_MAX_S)
            await self._watch.wait_past(request.node_id, request.min_query_index, wait_s)
        return m.NodeAllocsResponse(
            index=self._watch.index(request.node_id),
            allocs=self._context.state.node_alloc_versions(request.node_id),
        )

    async def fetch(self, request: m.FetchAllocsRequest, caller: Caller) -> m.FetchAllocsResponse:
        """Whole allocations of the node, with the job versions that they refer to."""
        self._authenticate(request.node_id, request.secret_id)
        state = self._context.state
        found: list[Allocation] = []
        jobs: dict[tuple[str, str, int], Job] = {}
        for id_ in request.alloc_ids:
            alloc = state.alloc(id_)
            if alloc is None or alloc.node_id != request.node_id:
                continue
            found.append(msgspec.structs.replace(alloc, metrics=None))
            job = state.job_version(alloc.namespace, alloc.job_id, alloc.job_version)
            if job is not None:
                jobs[(*job.key, job.version)] = job
        return m.FetchAllocsResponse(index=state.index, allocations=tuple(found), jobs=tuple(jobs.values()))

    async def update_alloc(self, request: m.NodeUpdateAllocRequest, caller: Caller) -> m.Empty:
        """Task states and health of the node's allocations. Refused while the node counts as down."""
        node = self._authenticate(request.node_id, request.secret_id)
        if node.status in (NodeStatus.DOWN, NodeStatus.DISCONNECTED):
            raise InvalidInput(f"node {node.id} is {node.status} for the servers; send a heartbeat first")
        state = self._context.state
        known = []
        for update in request.updates:
            stored = state.alloc(update.id)
            if stored is not None and stored.node_id == node.id:
                known.append((update, stored))
        if not known:
            return m.Empty(index=state.index)
        news = [
            (
                stored,
                update.client_status,
                update.deployment_status.healthy if update.deployment_status else None,
            )
            for update, stored in known
        ]
        changes = await self._context.propose(
            AllocClientUpdate(
                time_ns=self._context.clock.now_ns(),
                node_id=node.id,
                updates=tuple(_client_update(update) for update, _ in known),
                evaluations=node_evals.for_updates(self._context, news),
            )
        )
        return m.Empty(index=changes.index)

    # ---- helpers ----

    def _node(self, node_id: str) -> Node:
        node = self._context.state.node(node_id)
        if node is None:
            raise NotFound(f"node not found: {node_id!r}")
        return node

    def _authenticate(self, node_id: str, secret_id: str) -> Node:
        node = self._context.state.node(require(node_id, "a node id"))
        if node is None:
            raise NotFound(f"node not found: {node_id!r}; it has to register first")
        if not hmac.compare_digest(node.secret_id.encode(), secret_id.encode()):
            raise PermissionDenied(
                f"the secret is not that of node {node_id}; was its data_dir copied or restored?"
            )
        return node


def _shape(node: Node) -> tuple[object, ...]:
    """What of a node decides about system jobs, besides its readiness."""
    drivers = {name: (info.detected, info.healthy) for name, info in node.drivers.items()}
    return (node.attributes, node.meta, drivers, node.host_volumes, node.node_resources, node.reserved,
            node.datacenter, node.node_class, node.node_pool)  # fmt: skip


def _client_update(update: Allocation) -> ClientUpdate:
    return ClientUpdate(
        alloc_id=update.id,
        client_status=update.client_status,
        client_description=update.client_description,
        task_states=update.task_states,
        health=update.deployment_status,
        deployment_id=update.deployment_id,
        network_status=update.network_status,
    )


def _stub(node: Node) -> m.NodeStub:
    return m.NodeStub(
        id=node.id,
        name=node.name,
        datacenter=node.datacenter,
        node_class=node.node_class,
        node_pool=node.node_pool,
        address=node.attributes.get("unique.network.ip-address", ""),
        version=node.attributes.get("nomad.version", ""),
        drain=node.drain_strategy is not None,
        scheduling_eligibility=node.scheduling_eligibility.value,
        quarantine=node.quarantine.reason if node.quarantine is not None and node.quarantined else "",
        status=node.status.value,
        status_description=node.status_description,
        drivers=node.drivers,
        create_index=node.create_index,
        modify_index=node.modify_index,
    )
