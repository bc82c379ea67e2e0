"""The server role of an agent: state, log, leader services and endpoints, composed in one place.

Start-up, in order: log (restores the state) -> consumers -> evaluation service -> heartbeats and collection. Shut
down is the reverse; each step can be stopped half-way. With one server the leader is always this one; the leader
services live in one scope of their own, which a later change of leadership closes and opens.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import msgspec

from daemon.aio.scope import Scope
from daemon.consensus.shell import Log
from daemon.evaluation.service import EvaluationService
from daemon.model.enums import NodeStatus
from daemon.model.errors import EncampError
from daemon.model.node import NodeEvent
from daemon.rpc.dispatch import Dispatcher
from daemon.server import node_evals
from daemon.server.admission import Admission, Limits, Load
from daemon.server.collect import Ages, collectable
from daemon.server.context import Clock, Ids, ServerContext
from daemon.server.deployments.watcher import DeploymentWatcher
from daemon.server.drainer import Drainer
from daemon.server.dryrun import DryRunner
from daemon.server.endpoints.allocs import AllocEndpoints
from daemon.server.endpoints.deployments import DeploymentEndpoints
from daemon.server.endpoints.evals import EvalEndpoints
from daemon.server.endpoints.job_list import JobListEndpoints
from daemon.server.endpoints.jobs import JobEndpoints
from daemon.server.endpoints.launches import LaunchEndpoints
from daemon.server.endpoints.nodes import NodeEndpoints
from daemon.server.endpoints.operator import OperatorEndpoints
from daemon.server.endpoints.scaling import ScalingEndpoints
from daemon.server.endpoints.system import SystemEndpoints
from daemon.server.endpoints.versions import VersionEndpoints
from daemon.server.forward import Forwarder
from daemon.server.heartbeat import BEAT_S, Heartbeats
from daemon.server.launcher import Launcher
from daemon.server.links import NodeLinks
from daemon.server.liveness import status_of_silent
from daemon.server.node_watch import NodeWatch
from daemon.server.quarantine import Quarantine
from daemon.server.ring import ChangeRing
from daemon.state.changes import Changes
from daemon.state.commands import AnyCommand, ClusterInit, NodeStatusUpdate

log = logging.getLogger("encamp.server")

HEARTBEAT_TICK_S = 0.5


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the server role needs of the agent's configuration."""

    #: None: keep nothing on disk (-dev).
    data_dir: Path | None
    region: str = "global"
    workers: int = 1
    ages: Ages = Ages()
    collect_interval_s: float = 300.0
    limits: Limits = Limits()
    #: seconds after which a worker that does not answer is replaced.
    hang_s: float = 30.0


class Server:
    """The server role. `await start()`, then its endpoints answer; `await close()`."""

    def __init__(self, config: ServerConfig, *, clock: Clock | None = None, ids: Ids | None = None) -> None:
        self.config = config
        self.clock = clock or Clock()
        self.ids = ids or Ids()
        self.links = NodeLinks()
        self.heartbeats = Heartbeats()
        self.ring = ChangeRing()
        self.watch = NodeWatch()
        self._scope = Scope("server", on_failure=self._failed)
        self._log: Log | None = None
        self.context: ServerContext
        self.evaluation: EvaluationService
        self.launcher: Launcher
        self.drainer: Drainer
        self.forwarder: Forwarder
        self.address = ""
        self._on_fatal: Callable[[str], None] | None = None

    async def start(self, dispatcher: Dispatcher, *, on_fatal: Callable[[str], None] | None = None) -> None:
        """Restore the state, begin to serve on `dispatcher`, start the leader services."""
        self._on_fatal = on_fatal
        self._log = await Log.open(self.config.data_dir)
        state = self._log.state
        self.context = ServerContext(
            state, self._log.propose, self.clock, self.ids, region=self.config.region
        )
        self.clock.witness(state.time_ns)
        self.quarantine = Quarantine(self.context)
        self.evaluation = EvaluationService(
            state,
            self._log.propose_nowait,
            workers=self.config.workers,
            now_ns=self.clock.now_ns,
            seed=self.ids.seed,
            new_id=self.ids.new,
            hang_s=self.config.hang_s,
            failed_on=self.quarantine.failed_on,
        )
        self.admission = Admission(self.config.limits, self._load)
        self.context.admit = lambda what, stopping: self.admission.check(what, stopping=stopping)
        self.launcher = Launcher(self.context)
        self.drainer = Drainer(self.context)
        self.deployments = DeploymentWatcher(self.context)
        self._log.attach(
            (
                self.quarantine.observe,
                self.evaluation.observe,
                self.watch.observe,
                self.ring.observe,
                self._observe_nodes,
                self.launcher.observe,
                self.drainer.observe,
                self.deployments.observe,
                self.context.observe,
            )
        )
        self._register_endpoints(dispatcher)
        await self.evaluation.start()
        if not state.cluster_id:
            await self.context.propose(ClusterInit(time_ns=self.clock.now_ns(), cluster_id=self.ids.new()))
        for node in state.nodes():
            if node.status != NodeStatus.DOWN:
                self.heartbeats.beat(node.id, self.clock.mono_s())
        self._scope.spawn(self._watch_heartbeats(), "heartbeats")
        self._scope.spawn(self.launcher.run(), "launcher")
        self._scope.spawn(self.drainer.run(), "drainer")
        self._scope.spawn(self.deployments.run(), "deployments")
        self._scope.spawn(self.quarantine.run(), "quarantine")
        self._scope.spawn(self._collect_regularly(), "collection")
        self._scope.spawn(self._watch_log(self._log), "log")

    def _register_endpoints(self, dispatcher: Dispatcher) -> None:
        context = self.context
        allocs = AllocEndpoints(context)
        allocs.register_in(dispatcher)
        JobEndpoints(
            context, DryRunner(context, self.evaluation.dry_run, self.quarantine.failed_on)
        ).register_in(dispatcher)
        JobListEndpoints(context).register_in(dispatcher)
        LaunchEndpoints(context, self.launcher).register_in(dispatcher)
        EvalEndpoints(context).register_in(dispatcher)
        ScalingEndpoints(context).register_in(dispatcher)
        OperatorEndpoints(context).register_in(dispatcher)
        DeploymentEndpoints(context).register_in(dispatcher)
        VersionEndpoints(context).register_in(dispatcher)
        NodeEndpoints(context, self.heartbeats, self.links, self.watch).register_in(dispatcher)
        SystemEndpoints(context, self.ring, self.collect, lambda: self.address).register_in(dispatcher)
        self.forwarder = Forwarder(context.state, allocs, self.links)
        self.forwarder.register_in(dispatcher)

    def _failed(self, task: str, error: BaseException) -> None:
        log.critical("%s failed: %s", task, error, exc_info=error)
        if self._on_fatal is not None:
            self._on_fatal(f"{task} failed: {error}")

    def _load(self) -> Load:
        """How full the leader's queues are."""
        return Load(
            evaluations=len(self.evaluation.broker),
            launches=len(self.evaluation.launches),
            proposals=self._log.queued if self._log is not None else 0,
        )

    async def propose(self, command: AnyCommand) -> Changes:
        """Put a command into the log."""
        return await self.context.propose(command)

    async def _watch_log(self, log_: Log) -> None:
        """Say loudly when the log can be written no more: reads go on, writes are refused until a restart."""
        fault = await log_.wait_fault()
        log.critical(
            "this server takes no writes any more: %s; reads go on; restart it once that is mended", fault
        )

    # ---- heartbeats ----

    def _observe_nodes(self, changes: Changes) -> None:
        for before, after in changes.nodes:
            if after is None and before is not None:
                self.heartbeats.forget(before.id)
                self.watch.forget(before.id)

    async def _watch_heartbeats(self) -> None:
        """Mark silent nodes as down or out of sight. The loop's own lateness is credited to all of them."""
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(HEARTBEAT_TICK_S)
            self.heartbeats.credit(loop.time() - before - 2 * HEARTBEAT_TICK_S)
            for node_id in self.heartbeats.expired(self.clock.mono_s()):
                await self._mark_silent(node_id)

    async def _mark_silent(self, node_id: str) -> None:
        node = self.context.state.node(node_id)
        if node is None or node.status == NodeStatus.DOWN:
            return
        now = self.clock.now_ns()
        status = status_of_silent(self.context.state, node, now)
        if status == NodeStatus.DISCONNECTED:
            # it is looked at again after another such silence.
            self.heartbeats.beat(node_id, self.clock.mono_s())
            if node.status == status:
                return
        reason = f"no heartbeat for {self.heartbeats.expiry_s:g} s (one is due every {BEAT_S:g} s)"
        log.warning("node %s (%s) is %s: %s", node.id, node.name, status, reason)
        try:
            await self.context.propose(
                NodeStatusUpdate(
                    time_ns=now,
                    node_ids=(node_id,),
                    status=status,
                    description=reason,
                    event=NodeEvent(message="Node heartbeat missed", subsystem="Cluster", timestamp_ns=now),
                    evaluations=node_evals.for_node(self.context, node),
                )
            )
        except EncampError as error:
            log.error("node %s could not be marked down and is watched on: %s", node_id, error)
            self.heartbeats.beat(node_id, self.clock.mono_s())

    # ---- collection ----

    async def _collect_regularly(self) -> None:
        while True:
            await asyncio.sleep(self.config.collect_interval_s)
            try:
                await self.collect(self.config.ages)
            except EncampError as error:
                log.warning("garbage was not collected this time: %s", error)

    async def collect(self, ages: Ages) -> int:
        """Forget what is over and old enough. Returns the number of objects."""
        count = 0
        for command in collectable(self.context.state, self.clock.now_ns(), ages):
            if command is None:
                await asyncio.sleep(0)
                continue
            await self.context.propose(command)
            count += len(command.evals) + len(command.allocs) + len(command.jobs) + len(command.nodes)
            count += len(command.deployments)
        return count

    def stats(self) -> dict[str, dict[str, object]]:
        """Figures for `Agent.Self`."""
        service = self.evaluation
        return {
            "state": {"index": self.context.state.index, "allocations": self.context.state.alloc_count},
            "evaluation": {
                "plans": service.commits.plans,
                "conflicts": service.commits.conflicts,
                "conflict_rate": service.commits.contention.rate,
                "workers": len(service.pool.workers),
                "workers_replaced": service.pool.replaced,
                "worker_memory_bytes": [w.memory_bytes for w in service.pool.workers.values()],
            },
            "broker": asdict(service.broker.stats()),
            "blocked": asdict(service.blocked.stats()),
            "launches": {"waiting": len(service.launches), "refused_busy": self.admission.refused},
            "log": self._log.status() if self._log is not None else {},
        }

    async def close(self) -> None:
        """Stop the services, newest first, then the log. Idempotent, also half-way through a start."""
        await self._scope.close()
        if hasattr(self, "evaluation"):
            await self.evaluation.close()
        if self._log is not None:
            await self._log.close()
            self._log = None
