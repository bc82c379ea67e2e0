"""The pool of worker processes: starts them, feeds them, replaces those that die or hang.

Theory: a ROUTER socket on an ipc path of mode 0600; each worker has a name that is used once, so that a late
message of a killed worker is never taken for its successor's. A worker holds up to IN_FLIGHT messages, each with one
evaluation or several small ones, and answers each with one message. If one is not answered within `hang_s` the
process is killed; its evaluations go back to the owner through `on_lost`, who gives them to the broker (`nack`).

Not here: which evaluation goes next (broker), what becomes of a plan (service).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import zmq

from daemon.aio.scope import Scope
from daemon.evaluation.messages import Answer, Result, Work
from daemon.model.base import decode, encode
from daemon.model.errors import EncampError
from daemon.model.plan import EvalInput
from daemon.rpc.pump import Pump
from daemon.state.deltas import FleetDelta

log = logging.getLogger("encamp.pool")

#: messages that one worker holds at once: one at work, one waiting, so that it never idles.
IN_FLIGHT = 2
#: seconds to wait before a worker that died is replaced, after the second death within a minute.
RESTART_DELAY_S = 1.0


class WorkerHandle:
    """The agent's view of one worker process."""

    def __init__(self, name: str, slot: int, process: asyncio.subprocess.Process) -> None:
        self.name = name
        #: its place in the pool, which its successor inherits.
        self.slot = slot
        self.process = process
        self.ready = False
        #: evaluation id -> monotonic time at which it was sent.
        self.busy: dict[str, float] = {}
        #: messages that it has not answered.
        self.messages = 0
        #: sequence and epoch of the fleet up to which it was told; 0: nothing.
        self.sequence = 0
        self.epoch = 0
        #: evaluations that it has answered; what it reserved for them is in the server's figures by now.
        self.settled: list[str] = []
        self.memory_bytes = 0


class Pool:
    """`size` workers. All methods run on the loop that called `start`."""

    def __init__(
        self,
        size: int,
        *,
        delta_since: Callable[[int, int, tuple[str, ...]], FleetDelta],
        on_result: Callable[[Result], None],
        on_lost: Callable[[list[str], str], None],
        on_free: Callable[[], None],
        contended: Callable[[], bool] = lambda: False,
        hang_s: float = 30.0,
    ) -> None:
        self.size = size
        self._delta_since = delta_since
        self._on_result = on_result
        self._on_lost = on_lost
        self._on_free = on_free
        self._contended = contended
        self._hang_s = hang_s
        self._names = itertools.count(1)
        self.workers: dict[bytes, WorkerHandle] = {}
        self._scope = Scope("pool", on_failure=self._failed)
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._pump: Pump | None = None
        self._socket: zmq.Socket[bytes] | None = None
        self._address = ""
        self.replaced = 0

    async def start(self) -> None:
        """Bind the socket and start the workers; they report one by one when they are ready."""
        self._directory = tempfile.TemporaryDirectory(prefix="encamp-pool-")
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._address = f"ipc://{Path(self._directory.name) / 'workers'}"
        self._socket.bind(self._address)
        self._pump = Pump(self._socket, self._on_message, on_unreachable=lambda identity: None)
        for number in range(self.size):
            self._scope.spawn(self._keep(number), f"worker {number}")
        self._scope.spawn(self._watch(), "watch")

    # ---- feeding ----

    def free_worker(self) -> WorkerHandle | None:
        """The ready worker with the fewest evaluations, if it may take one more message."""
        ready = [worker for worker in self.workers.values() if worker.ready and worker.messages < IN_FLIGHT]
        return min(ready, key=lambda worker: len(worker.busy), default=None)

    def send(self, worker: WorkerHandle, items: Sequence[EvalInput], *, dry_run: bool = False) -> None:
        """Give evaluations to a worker in one message, with what it does not know of the fleet yet."""
        delta = self._delta_since(worker.sequence, worker.epoch, tuple(worker.settled))
        worker.sequence, worker.epoch = delta.sequence, delta.epoch
        worker.settled.clear()
        now = time.monotonic()
        worker.busy.update((item.evaluation.id, now) for item in items)
        worker.messages += 1
        share = (worker.slot, self.size) if self._contended() else (0, 1)
        self._post(worker, Work(delta=delta, inputs=tuple(items), dry_run=dry_run, share=share))

    def _post(self, worker: WorkerHandle, work: Work) -> None:
        if self._pump is not None:
            self._pump.send([worker.name.encode(), encode(work)])

    def _on_message(self, parts: list[bytes]) -> None:
        worker = self.workers.get(parts[0])
        if worker is None or len(parts) != 2:
            return
        try:
            answer = decode(parts[1], Answer)
        except EncampError as error:
            log.error("worker %s sent what cannot be read (%s); it is replaced", worker.name, error)
            worker.process.kill()
            return
        if not worker.ready:
            worker.ready = True
            self._on_free()
            return
        worker.messages -= 1
        worker.memory_bytes = max(worker.memory_bytes, answer.memory_bytes)
        for result in answer.results:
            worker.busy.pop(result.eval_id, None)
            if result.resync:
                worker.sequence = 0
            else:
                worker.settled.append(result.eval_id)
            self._on_result(result)

    # ---- processes ----

    async def _keep(self, slot: int) -> None:
        """Keep one worker alive for as long as the pool lives."""
        died_at = -60.0
        while True:
            worker = await self._spawn(slot)
            key = worker.name.encode()
            try:
                code = await worker.process.wait()
            finally:
                self.workers.pop(key, None)
                if worker.process.returncode is None:
                    worker.process.kill()
                    await worker.process.wait()
            self.replaced += 1
            log.warning(
                "evaluation worker %s (pid %d) ended with %d while it held %d evaluations; it is replaced",
                worker.name,
                worker.process.pid,
                code,
                len(worker.busy),
            )
            self._on_lost(list(worker.busy), f"worker {worker.name} ended with {code}")
            now = time.monotonic()
            if now - died_at < 60:
                await asyncio.sleep(RESTART_DELAY_S)
            died_at = now

    async def _spawn(self, slot: int) -> WorkerHandle:
        name = f"worker-{next(self._names)}"
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "daemon.evaluation.worker",
            "--address",
            self._address,
            "--name",
            name,
            "--parent",
            str(os.getpid()),
            stdin=asyncio.subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )
        worker = WorkerHandle(name, slot, process)
        self.workers[name.encode()] = worker
        return worker

    async def _watch(self) -> None:
        """Kill workers that hold an evaluation for too long."""
        while True:
            await asyncio.sleep(min(1.0, self._hang_s / 4))
            now = time.monotonic()
            for worker in list(self.workers.values()):
                oldest = min(worker.busy.values(), default=now)
                if now - oldest > self._hang_s:
                    log.error(
                        "evaluation worker %s (pid %d) has not answered for %.0f s; it is killed",
                        worker.name,
                        worker.process.pid,
                        now - oldest,
                    )
                    worker.process.kill()

    def _failed(self, task: str, error: BaseException) -> None:
        log.error("%s failed: %s", task, error, exc_info=error)

    async def close(self) -> None:
        """Kill all workers and wait for their end. Idempotent."""
        await self._scope.close()
        if self._pump is not None:
            self._pump.close()
            self._pump = None
        if self._socket is not None:
            self._socket.close(0)
            self._socket = None
        if self._context is not None:
            self._context.term()
            self._context = None
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None
