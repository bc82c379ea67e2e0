"""Registers the node and keeps telling the servers that it lives.

Theory: one loop. It registers when it starts, when the node's record has changed, and when a server says that it
does not know the node; in between it beats in the interval that the server gives. A failure is tried again quickly,
because a missed beat costs the node its work.
Source: architecture.md "Liveness of nodes".
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable

from daemon.aio.retry import backoff_s
from daemon.model.errors import EncampError, NotFound
from daemon.model.node import Node
from daemon.node.ports import ServerPort
from daemon.rpc.messages import NodeHeartbeatRequest, NodeHeartbeatResponse, NodeRegisterRequest
from daemon.rpc.methods import NODE_HEARTBEAT, NODE_REGISTER

log = logging.getLogger("encamp.node")

_CALL_S = 5.0
_RETRY_MAX_S = 3.0
#: changes that come together are registered together.
_SETTLE_S = 0.2


class Presence:
    """Registration and heartbeat. One loop, `run`, owned by the node agent."""

    def __init__(
        self,
        server: ServerPort,
        node: Callable[[], Node],
        *,
        on_answer: Callable[[NodeHeartbeatResponse], None],
        ready: asyncio.Event,
    ) -> None:
        self._server = server
        self._node = node
        self._on_answer = on_answer
        self._changed = asyncio.Event()
        self._registered: Node | None = None
        self._random = random.Random()
        self._heard_at = time.monotonic()
        #: set once a server has taken registration and first beat.
        self.ready = ready

    def changed(self) -> None:
        """The node's record may have changed."""
        self._changed.set()

    @property
    def silent_s(self) -> float:
        """Seconds since a server took a heartbeat, or since the start."""
        return time.monotonic() - self._heard_at

    async def run(self) -> None:
        """Register and beat for ever."""
        tries = 0
        while True:
            try:
                answer = await self._once()
            except EncampError as error:
                if isinstance(error, NotFound):
                    self._registered = None
                tries += 1
                if tries in (1, 5) or tries % 50 == 0:
                    log.warning("no server takes this node's heartbeat (try %d): %s", tries, error)
                wait_s = backoff_s(tries, first_s=0.1, max_s=_RETRY_MAX_S, random_=self._random)
            else:
                if tries:
                    log.info("a server takes this node's heartbeat again after %d tries", tries)
                tries = 0
                wait_s = 0.0 if answer.register_again else answer.heartbeat_ttl_ns / 1e9
            await self._wait(wait_s)

    async def _once(self) -> NodeHeartbeatResponse:
        node = self._node()
        if node != self._registered:
            answer = await self._server.call(NODE_REGISTER, NodeRegisterRequest(node=node), timeout_s=_CALL_S)
            self._registered = node
            self._on_answer(answer)
        request = NodeHeartbeatRequest(node_id=node.id, secret_id=node.secret_id)
        answer = await self._server.call(NODE_HEARTBEAT, request, timeout_s=_CALL_S)
        if answer.register_again:
            self._registered = None
            return answer
        self._on_answer(answer)
        self._heard_at = time.monotonic()
        self.ready.set()
        return answer

    async def _wait(self, wait_s: float) -> None:
        try:
            await asyncio.wait_for(self._changed.wait(), wait_s)
        except TimeoutError:
            return
        self._changed.clear()
        await asyncio.sleep(_SETTLE_S)
