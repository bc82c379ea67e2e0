"""The calling side for agents: one DEALER connection on the asyncio loop, with calls in both directions.

A lost connection fails the calls in flight with Unavailable at once (a socket monitor tells); ZeroMQ reconnects by
itself and later calls use the new connection. `on_connect` lets a node register again after that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import zmq
from zmq.utils.monitor import parse_monitor_message

from daemon.aio.scope import Scope
from daemon.model.errors import PeerFault, Unavailable
from daemon.rpc.address import Address
from daemon.rpc.dispatch import Caller, Dispatcher
from daemon.rpc.frames import MESSAGE_BYTES_MAX, Header, decode_header, encode_header
from daemon.rpc.methods import Method
from daemon.rpc.peer import Peer
from daemon.rpc.pump import Pump
from daemon.rpc.stream import Stream

log = logging.getLogger("encamp.rpc")

Q = TypeVar("Q")
A = TypeVar("A")


class Client:
    """A connection to one agent. `dispatcher` serves the calls that the other side makes back to us."""

    def __init__(
        self,
        address: Address,
        dispatcher: Dispatcher | None = None,
        *,
        on_connect: Callable[[], None] | None = None,
    ) -> None:
        self.address = address
        self._dispatcher = dispatcher or Dispatcher()
        self._on_connect = on_connect
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._sockets: list[zmq.Socket[bytes]] = []
        self._pumps: list[Pump] = []
        self._peer: Peer | None = None
        self._closing = Scope(f"rpc client {address}")
        self.connected = False

    async def start(self) -> None:
        """Begin to connect; calls may be made at once and are sent when the connection stands."""
        self.address.refuse_beyond_loopback()
        self._context = zmq.Context(io_threads=1)
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 200)
        socket.setsockopt(zmq.MAXMSGSIZE, MESSAGE_BYTES_MAX)
        socket.setsockopt(zmq.RECONNECT_IVL, 100)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 2_000)
        socket.setsockopt(zmq.HEARTBEAT_IVL, 3_000)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 9_000)
        monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        self._sockets = [monitor, socket]
        self._new_peer()
        self._pumps = [Pump(monitor, self._on_monitor), Pump(socket, self._on_message)]
        socket.connect(str(self.address))

    async def call(self, method: Method[Q, A], request: Q, *, timeout_s: float = 10.0) -> A:
        """Call a unary method. Raises what Peer.call raises."""
        return await self._live().call(method, request, timeout_s=timeout_s)

    @asynccontextmanager
    async def stream(self, method: Method[Q, Any], request: Q) -> AsyncIterator[Stream]:
        """Open a stream."""
        async with self._live().stream(method, request) as stream:
            yield stream

    def _live(self) -> Peer:
        if self._peer is None:
            raise Unavailable(f"the client of {self.address} is closed", retry_after_s=1)
        return self._peer

    def _new_peer(self) -> None:
        def send_frame(header: Header, body: bytes) -> None:
            if self._pumps:
                self._pumps[-1].send([encode_header(header), body])

        self._peer = Peer(str(self.address), send_frame, self._dispatcher, Caller(transport="tcp"))

    def _on_monitor(self, parts: list[bytes]) -> None:
        event = parse_monitor_message(parts)["event"]
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.connected = True
            if self._on_connect is not None:
                self._on_connect()
        elif event == zmq.EVENT_DISCONNECTED:
            self.connected = False
            lost = self._peer
            if lost is not None:
                self._new_peer()
                lost.lost(Unavailable(f"the connection to {self.address} was lost", retry_after_s=1))
                self._closing.spawn(lost.close(), "close lost peer")

    def _on_message(self, parts: list[bytes]) -> None:
        if len(parts) != 2 or self._peer is None:
            return
        try:
            header = decode_header(parts[0])
        except PeerFault as fault:
            log.warning("dropped a message from %s: %s", self.address, fault)
            return
        self._peer.handle(header, parts[1])

    async def close(self) -> None:
        """End all calls and the connection. Idempotent."""
        peer, self._peer = self._peer, None
        if peer is not None:
            await peer.close()
        await asyncio.wait_for(self._closing.drain(), 5)
        await self._closing.close()
        for pump in self._pumps:
            pump.close()
        self._pumps = []
        if self._context is None:
            return
        self._sockets[-1].disable_monitor()
        for socket in self._sockets:
            socket.close(200)
        self._sockets = []
        self._context.term()
        self._context = None
