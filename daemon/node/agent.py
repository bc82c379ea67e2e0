"""The node agent: composes identity, local state, drivers, runners and the loops that speak with the servers.

Theory: `start` is an ordered list: lock, identity, state, drivers, probes, then every allocation that the local state
knows goes on, before any server is asked; so a node that starts while it is cut off runs what it last ran. Only then
the loops begin: presence (register, heartbeat), watch (what to run), report, collection, driver health, probes.
`stop` undoes it in the opposite order, and leaves tasks running unless it is told to end them.

Not here: which servers there are (ServerPort), the configuration's text, the process.
Source: architecture.md "The node", section 5.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import Callable

import msgspec

from daemon.aio.scope import Scope
from daemon.model.alloc import Allocation
from daemon.model.enums import ClientStatus
from daemon.model.errors import EncampError, NotFound
from daemon.model.job import Job
from daemon.model.node import Node
from daemon.model.resources import AllocatedResources
from daemon.node.client_stop import ClientStop
from daemon.node.collector import Collector
from daemon.node.config import NodeConfig
from daemon.node.disk.prepare import make_root
from daemon.node.drivers.manager import DriverManager, SupervisorFactory
from daemon.node.env.interpolate import NodeFacts
from daemon.node.env.taskenv import host_environment
from daemon.node.fingerprint import Fingerprints, make_node
from daemon.node.identity import DirectoryLock, Identity, load_identity, rebooted
from daemon.node.ports import ServerPort
from daemon.node.presence import Presence
from daemon.node.report import Reporter
from daemon.node.runner import inputs as i
from daemon.node.runner import words
from daemon.node.runner.alloc_runner import AllocRunner
from daemon.node.runner.deps import RunnerDeps
from daemon.node.runner.records import AllocRecord
from daemon.node.runner.taskconfig import NodeView, Placed
from daemon.node.serve.endpoints import NodeEndpoints
from daemon.node.store import NodeStore
from daemon.node.watch import Watch
from daemon.rpc.messages import NodeHeartbeatResponse
from plugins.driver import Driver, DriverEvent
from plugins.fingerprint.base import Fingerprinter

log = logging.getLogger("encamp.node")

#: beyond the longest kill timeout, for drivers to clean up.
_END_GRACE_S = 15.0
_FLUSH_S = 3.0


class NodeAgent:
    """One node. `await start()`, then `await run()` until it fails or is cancelled, then `await stop(...)`."""

    def __init__(
        self,
        config: NodeConfig,
        server: ServerPort,
        *,
        drivers: dict[str, type[Driver]],
        fingerprinters: list[type[Fingerprinter]],
        supervisor: SupervisorFactory | None = None,
        environ: dict[str, str] | None = None,
        now_ns: Callable[[], int] = time.time_ns,
        random_: random.Random | None = None,
    ) -> None:
        self.config = config
        self._server = server
        self._driver_kinds = drivers
        self._probe_kinds = fingerprinters
        self._supervisor = supervisor
        self._environ = dict(os.environ if environ is None else environ)
        self._now_ns = now_ns
        self._random = random_ or random.Random()
        self.runners: dict[str, AllocRunner] = {}
        self.identity = Identity(node_id="", secret_id="")
        self._lock = DirectoryLock(config.state_path)
        self._store = NodeStore(config.state_path / "state.db")
        self._runner_scope = Scope("runners", on_failure=self._runner_failed)
        self._loops = Scope("node", on_failure=self._loop_failed)
        self._failure: asyncio.Future[None] | None = None
        self._stopped = False
        self._has_parts = False
        #: set once a server has taken registration and heartbeat.
        self.ready = asyncio.Event()
        #: handlers of the methods that a node answers, by name.
        self.endpoints = NodeEndpoints(
            self.runners,
            data_dir=config.alloc_path,
            core_mhz=self._core_mhz,
            exec_disabled=config.disable_remote_exec,
        )

    @property
    def node_id(self) -> str:
        """Id of the node; known after start."""
        return self.identity.node_id

    @property
    def node(self) -> Node:
        """The node's record as it would be registered now."""
        return make_node(
            self.config, self.identity, self._probes, self._drivers.infos, self._drivers.attributes
        )

    # start

    async def start(self) -> None:
        """Take up what the local state knows, then begin to speak with the servers.

        Raises: Unavailable when the state directory is in use or damaged; OSError. What was begun is undone.
        """
        self._failure = asyncio.get_running_loop().create_future()
        try:
            await self._start()
        except BaseException:
            await self.stop(kill_tasks=False)
            raise

    async def _start(self) -> None:
        await self._open_all()
        self._make_parts()
        self._has_parts = True
        self._loops.spawn(self._probes.start(), "first probes")
        await self._drivers.start()
        await self._loops.drain()
        await self._restore()
        for name, loop in (
            ("presence", self._presence.run()),
            ("reports", self._reporter.run()),
            ("watch", self._follow()),
            ("client stop", self._client_stop.run()),
            ("collection", self._collector.run()),
            ("driver health", self._drivers.run()),
            ("probes", self._probes.run()),
        ):
            self._loops.spawn(loop, name)
        log.info("node %s (%s) runs %d allocations", self.config.name, self.node_id, len(self.runners))

    async def _open_all(self) -> None:
        opening = asyncio.ensure_future(asyncio.to_thread(self._open))
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            await asyncio.wait([opening])  # a thread cannot be cancelled; what it opened is closed after it
            raise

    def _open(self) -> None:
        """Directories, lock, identity, state. Blocking."""
        state = self.config.state_path
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock.take()
        self.identity = load_identity(state)
        self._rebooted = rebooted(state)
        make_root(self.config.alloc_path, self.config.data_dir)
        self._store.open()

    def _make_parts(self) -> None:
        config, identity = self.config, self.identity
        self._reporter = Reporter(identity, self._server)
        self._presence = Presence(self._server, lambda: self.node, on_answer=self._answered, ready=self.ready)
        self._client_stop = ClientStop(self.runners.values, lambda: self._presence.silent_s)
        self._probes = Fingerprints(config, self._probe_kinds, self._presence.changed)
        self._drivers = DriverManager(
            config,
            self._driver_kinds,
            node_id=identity.node_id,
            on_change=self._presence.changed,
            on_event=self._driver_event,
            supervisor=self._supervisor,
        )
        self._collector = Collector(
            self.runners,
            store=self._store,
            reporter=self._reporter,
            limits=config.gc,
            alloc_dir=config.alloc_path,
        )
        self._watch = Watch(
            identity, self._server, known=self._known, arrived=self._arrived, vanished=self._vanished
        )
        self._deps = RunnerDeps(
            store=self._store,
            drivers=self._drivers,
            alloc_dir=config.alloc_path,
            view=self._view,
            report=self._reporter.put,
            predecessor_done=self._predecessor_done,
            max_kill_timeout_ns=int(config.max_kill_timeout_s * 1e9),
            rebooted=self._rebooted,
            now_ns=self._now_ns,
            random_=self._random,
        )

    async def _restore(self) -> None:
        for stored in await self._store.load():
            try:
                self._begin(Placed.of(stored.alloc, stored.job), stored.record)
            except EncampError as error:
                log.error("stored allocation %s cannot go on: %s", stored.alloc.id, error)

    def _begin(self, placed: Placed, record: AllocRecord | None) -> AllocRunner:
        runner = AllocRunner(placed, self._deps, record)
        self.runners[runner.alloc_id] = runner
        self._runner_scope.spawn(self._run(runner), runner.alloc_id)
        return runner

    async def _run(self, runner: AllocRunner) -> None:
        await runner.run()
        self._collector.wake()

    # what the parts ask for

    def _answered(self, answer: NodeHeartbeatResponse) -> None:
        if answer.report_interval_ns > 0:
            self._reporter.interval_s = answer.report_interval_ns / 1e9
        if answer.report_all:
            for runner in self.runners.values():
                runner.report_again()

    def _core_mhz(self) -> int:
        resources = self._probes.resources(self.config)
        return resources.cpu_shares // resources.total_cores if resources.total_cores else 0

    def _view(self) -> NodeView:
        node = self.node
        networks = node.node_resources.networks
        ip = networks[0].ip if networks else node.attributes.get("unique.network.ip-address", "127.0.0.1")
        return NodeView(
            facts=NodeFacts.of(node, self.config.region),
            host_ip=ip,
            cpu_total_mhz=node.node_resources.cpu_shares,
            host_volumes=node.host_volumes,
            host_env=host_environment(self._environ, frozenset(self.config.env_denylist)),
        )

    async def _predecessor_done(self, alloc_id: str) -> None:
        runner = self.runners.get(alloc_id)
        if runner is not None:
            await runner.done.wait()

    def _driver_event(self, event: DriverEvent) -> None:
        alloc_id, _, rest = event.task_id.partition("/")
        task = rest.partition("/")[0]
        runner = self.runners.get(alloc_id)
        if runner is not None and task in runner.core.tasks:
            note = words.driver_note(self._now_ns(), event.message, event.details)
            runner.feed(i.ForTask(task=task, input=i.Note(event=note)))

    # what the servers want

    async def _follow(self) -> None:
        await self.ready.wait()
        await self._watch.run()

    def _known(self) -> dict[str, int]:
        return {id_: runner.placed.alloc.alloc_modify_index for id_, runner in self.runners.items()}

    async def _arrived(self, alloc: Allocation, job: Job | None) -> None:
        """An allocation is new or has changed."""
        runner = self.runners.get(alloc.id)
        if runner is not None:
            self._changed(runner, alloc, job)
            return
        if alloc.client_terminal or self._stopped:
            return
        if alloc.server_terminal:
            self._refuse(alloc, "It was stopped before this node had it", status=ClientStatus.COMPLETE)
            return
        try:
            if job is None:
                raise NotFound(f"version {alloc.job_version} of job {alloc.job_id!r} does not exist any more")
            placed = Placed.of(alloc, job)
        except EncampError as error:
            log.error("allocation %s cannot run: %s", alloc.id, error)
            self._refuse(alloc, error.message)
            return
        self._begin(placed, None)
        self._collector.wake()

    def _changed(self, runner: AllocRunner, alloc: Allocation, job: Job | None) -> None:
        # of a job that was purged the node has the last word; the change says that it is to end
        placed = Placed.of(alloc, job if job is not None else runner.placed.job)
        if runner.done.is_set():
            runner.placed = placed
            runner.report_again()
        else:
            runner.feed(placed)

    def _refuse(self, alloc: Allocation, why: str, *, status: ClientStatus = ClientStatus.FAILED) -> None:
        self._reporter.put(
            msgspec.structs.replace(
                alloc,
                client_status=status,
                client_description=why,
                metrics=None,
                reschedule_tracker=None,
                allocated_resources=AllocatedResources(),
            )
        )

    async def _vanished(self, alloc_ids: list[str]) -> None:
        """The servers know these no more: end them and remove what they left."""
        for alloc_id in alloc_ids:
            runner = self.runners.get(alloc_id)
            if runner is not None and not runner.done.is_set():
                runner.stop("The servers do not know this allocation any more", force=True)
            self._collector.vanished(alloc_id)

    async def collect_all(self) -> int:
        """Remove all ended allocations now; returns how many."""
        return await self._collector.collect_all()

    # end

    def _runner_failed(self, name: str, error: BaseException) -> None:
        log.critical("the runner of %s has failed; its tasks are left as they are", name, exc_info=error)

    def _loop_failed(self, name: str, error: BaseException) -> None:
        log.critical("loop %s of the node agent has failed", name, exc_info=error)
        if self._failure is not None and not self._failure.done():
            self._failure.set_exception(error)

    async def run(self) -> None:
        """Wait until the agent fails (raises why) or is stopped."""
        if self._failure is not None:
            await asyncio.shield(self._failure)

    async def stop(self, *, kill_tasks: bool) -> None:
        """End the agent, with its tasks or without them. Bounded in time. Idempotent."""
        if self._stopped:
            return
        self._stopped = True
        if kill_tasks and self.runners:
            await self._end_tasks()
        await self._loops.close()
        await self._runner_scope.close()
        if self._has_parts:
            await self._drivers.close(end_supervisor=kill_tasks)
        await asyncio.to_thread(self._store.close)
        self._lock.release()
        if self._failure is not None and not self._failure.done():
            self._failure.set_result(None)
        elif self._failure is not None and not self._failure.cancelled():
            self._failure.exception()  # it was reported when it came

    async def _end_tasks(self) -> None:
        for runner in self.runners.values():
            runner.stop("The agent is shutting down", force=True)
        limit_s = self.config.max_kill_timeout_s + _END_GRACE_S
        waiting = [asyncio.ensure_future(runner.done.wait()) for runner in self.runners.values()]
        _, late = await asyncio.wait(waiting, timeout=limit_s)
        for wait in late:
            wait.cancel()
        if late:
            left = [id_ for id_, runner in self.runners.items() if not runner.done.is_set()]
            log.error("allocations have not ended within %g s: %s", limit_s, ", ".join(left))
        try:
            await asyncio.wait_for(self._reporter.flush(), _FLUSH_S)
        except TimeoutError:
            log.warning("the servers were not told how the last tasks ended")
