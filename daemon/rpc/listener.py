"""The listening side: a ROUTER socket per address, one Peer per connection.

ipc sockets are 0600 in a directory of their owner. Non-loopback TCP is refused: this version has no encryption.
"""

from __future__ import annotations

import itertools
import logging
import os
import stat
from pathlib import Path

import zmq

from daemon.aio.scope import Scope
from daemon.model.errors import EncampError, PeerFault, Unavailable
from daemon.rpc.address import Address
from daemon.rpc.dispatch import Caller, Dispatcher
from daemon.rpc.frames import MESSAGE_BYTES_MAX, Header, decode_header, encode_header
from daemon.rpc.peer import Peer
from daemon.rpc.pump import Pump

log = logging.getLogger("encamp.rpc")


class Listener:
    """Serves a Dispatcher on one address. `peer(number)` reaches a caller back over its own connection."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._context = zmq.Context(io_threads=1)
        self._socket: zmq.Socket[bytes] | None = None
        self._pump: Pump | None = None
        self._peers: dict[bytes, Peer] = {}
        self._number_of: dict[bytes, int] = {}
        self._by_number: dict[int, Peer] = {}
        self._numbers = itertools.count(1)
        self._closing = Scope("rpc listener")
        self.transport = ""
        self._path: Path | None = None
        self.address = ""

    async def start(self, address: Address) -> str:
        """Bind and serve. Returns the address bound (with the real port where 0 was asked for).

        Raises: Unavailable when the address is in use, naming it and the key to change.
        """
        address.refuse_beyond_loopback()
        self.transport = address.transport
        socket = self._context.socket(zmq.ROUTER)
        socket.setsockopt(zmq.LINGER, 200)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.MAXMSGSIZE, MESSAGE_BYTES_MAX)
        socket.setsockopt(zmq.BACKLOG, 4096)
        socket.setsockopt(zmq.RCVHWM, 10_000)
        socket.setsockopt(zmq.SNDHWM, 10_000)
        socket.setsockopt(zmq.HEARTBEAT_IVL, 5_000)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 15_000)
        try:
            self._bind(socket, address)
        except zmq.ZMQError as error:
            socket.close(0)
            key = "ports.rpc" if address.transport == "tcp" else "data_dir"
            raise Unavailable(
                f"cannot listen on {address}: {os.strerror(error.errno or 0)}; another agent (or Nomad, whose "
                f"RPC port is 4647 too) may use it: stop that one or set {key} in the agent's configuration"
            ) from error
        self._socket = socket
        self.address = str(socket.get_string(zmq.LAST_ENDPOINT)).rstrip("\0")
        self._pump = Pump(socket, self._on_message, on_unreachable=self._on_unreachable)
        return self.address

    def _bind(self, socket: zmq.Socket[bytes], address: Address) -> None:
        if address.transport != "ipc":
            socket.bind(str(address))
            return
        path = Path(address.target)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            path.unlink()
        before = os.umask(0o177)
        try:
            socket.bind(str(address))
        finally:
            os.umask(before)
        self._path = path

    def peer(self, number: int) -> Peer | None:
        """The connection with that number (`Caller.peer`), while it lives."""
        return self._by_number.get(number)

    def _on_message(self, parts: list[bytes]) -> None:
        if len(parts) != 3:
            return
        identity, head, body = parts
        try:
            header = decode_header(head)
        except PeerFault as fault:
            log.warning("dropped a message: %s", fault)
            return
        peer = self._peers.get(identity)
        if peer is None:
            peer = self._admit(identity)
        peer.handle(header, body)

    def _admit(self, identity: bytes) -> Peer:
        number = next(self._numbers)

        def send_frame(header: Header, body: bytes) -> None:
            if self._pump is not None and not self._pump.send([identity, encode_header(header), body]):
                self._drop(identity, Unavailable("the peer does not read what it is sent"))

        peer = Peer(
            f"{self.transport} peer {number}",
            send_frame,
            self._dispatcher,
            Caller(peer=number, transport=self.transport),
            on_fault=lambda fault: self._drop(identity, fault),
        )
        self._peers[identity] = self._by_number[number] = peer
        self._number_of[identity] = number
        return peer

    def _on_unreachable(self, identity: bytes) -> None:
        self._drop(identity, Unavailable("the peer has gone away"))

    def _drop(self, identity: bytes, error: EncampError) -> None:
        peer = self._peers.pop(identity, None)
        if peer is None:
            return
        self._by_number.pop(self._number_of.pop(identity), None)
        peer.lost(error)
        self._closing.spawn(peer.close(), "close peer")

    async def close(self) -> None:
        """End all calls, close the socket, remove the ipc file. Idempotent."""
        for identity in list(self._peers):
            self._drop(identity, Unavailable("the agent is shutting down", retry_after_s=1))
        await self._closing.drain()
        await self._closing.close()
        if self._pump is not None:
            self._pump.close()
        if self._socket is not None:
            self._socket.close(200)
            self._socket = None
        self._context.term()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
