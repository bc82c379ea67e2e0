"""Tells the servers what happened to the allocations: batched, until it is accepted.

Theory: per allocation only the latest state waits. What is being sent stays until the servers have accepted it; a
newer state that comes meanwhile is sent after it. Nothing is lost by a server that is away, however long.
"""

from __future__ import annotations

import asyncio
import logging
import random

from daemon.aio.retry import backoff_s
from daemon.model.alloc import Allocation
from daemon.model.errors import EncampError
from daemon.node.identity import Identity
from daemon.node.ports import ServerPort
from daemon.rpc.messages import NodeUpdateAllocRequest
from daemon.rpc.methods import NODE_UPDATE_ALLOC

log = logging.getLogger("encamp.node")

_CALL_S = 15.0
_BATCH_MAX = 512
_RETRY_MAX_S = 5.0


class Reporter:
    """The node's outbox. One loop, `run`, owned by the node agent."""

    def __init__(self, identity: Identity, server: ServerPort) -> None:
        self._identity = identity
        self._server = server
        self._waiting: dict[str, Allocation] = {}
        self._sending: dict[str, Allocation] = {}
        self._woken = asyncio.Event()
        #: between two batches; the server says how long.
        self.interval_s = 0.2
        self._random = random.Random()
        self._one_at_a_time = asyncio.Lock()

    def put(self, update: Allocation) -> None:
        """Take the latest state of an allocation."""
        self._waiting.pop(update.id, None)
        self._waiting[update.id] = update
        self._woken.set()

    def is_told(self, alloc_id: str) -> bool:
        """Whether the servers have accepted all that was to be said of it."""
        return alloc_id not in self._waiting and alloc_id not in self._sending

    async def run(self) -> None:
        """Send for ever."""
        tries = 0
        while True:
            await self._woken.wait()
            if await self._send():
                tries = 0
                await asyncio.sleep(self.interval_s)
            else:
                tries += 1
                await asyncio.sleep(backoff_s(tries, first_s=0.2, max_s=_RETRY_MAX_S, random_=self._random))

    async def flush(self) -> bool:
        """Try once to send all that waits. False when it was not accepted."""
        while self._waiting:
            if not await self._send():
                return False
        return True

    async def _send(self) -> bool:
        async with self._one_at_a_time:
            return await self._send_batch()

    async def _send_batch(self) -> bool:
        self._woken.clear()
        self._sending = dict(list(self._waiting.items())[:_BATCH_MAX])
        for alloc_id in self._sending:
            del self._waiting[alloc_id]
        request = NodeUpdateAllocRequest(
            node_id=self._identity.node_id,
            secret_id=self._identity.secret_id,
            updates=tuple(self._sending.values()),
        )
        accepted = False
        try:
            await self._server.call(NODE_UPDATE_ALLOC, request, timeout_s=_CALL_S)
            accepted = True
        except EncampError as error:
            log.warning("the servers have not taken %d allocation states yet: %s", len(self._sending), error)
        finally:
            if not accepted:
                # what is newer than what was sent wins
                self._waiting = {**self._sending, **self._waiting}
            self._sending = {}
            if self._waiting:
                self._woken.set()
        return accepted
