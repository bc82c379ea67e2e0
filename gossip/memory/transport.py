"""A transport in memory for asyncio programs and tests: the same links as the world's, on the running loop's clock."""

from __future__ import annotations

import asyncio
import itertools

from gossip import limits
from gossip.errors import DecodeError
from gossip.memory.links import Links
from gossip.model import Address
from gossip.shell.transport import OnFrame, OnPacket, StreamFailed
from gossip.wire.stream import FrameReader


class Fabric:
    """The network that memory transports share."""

    def __init__(self, links: Links) -> None:
        self.links = links
        self.members: dict[Address, MemoryTransport] = {}
        self._ports = itertools.count(20_000)

    def transport(self, host: str = "127.0.0.1", port: int = 0) -> MemoryTransport:
        """A place on this network."""
        return MemoryTransport(self, (host, port or next(self._ports)))


class MemoryTransport:
    """One place; see shell/transport.py for the contract."""

    def __init__(self, fabric: Fabric, address: Address) -> None:
        self._fabric = fabric
        self._address = address
        self._handles: dict[int, asyncio.TimerHandle] = {}
        self._sent = 0
        self._inbound = 0
        self.streams_refused = 0

    async def open(self, on_packet: OnPacket, on_frame: OnFrame, head: bytes) -> Address:
        """Begin to listen. Raises: OSError when the address is taken."""
        if self._address in self._fabric.members:
            raise OSError(f"{self._address[0]}:{self._address[1]} is taken")
        self._on_packet, self._on_frame, self._head = on_packet, on_frame, head
        self._fabric.members[self._address] = self
        return self._address

    def send(self, address: Address, data: bytes) -> bool:
        """Let the links carry it."""
        for delay in self._fabric.links.carry(self._address, address):
            self._later(delay, address, data[: limits.PACKET_BYTES_MAX + 1])
        return True

    def _later(self, delay_s: float, address: Address, data: bytes) -> None:
        def deliver() -> None:
            del self._handles[number]
            target = self._fabric.members.get(address)
            if target is not None:
                target._on_packet(data, self._address)

        self._sent += 1
        number = self._sent
        self._handles[number] = asyncio.get_running_loop().call_later(delay_s, deliver)

    def drain(self) -> None:
        """Packets are handed over when they arrive; none wait."""

    async def exchange(self, address: Address, data: bytes, timeout_s: float) -> bytes:
        """One frame each way. Raises: StreamFailed."""
        links = self._fabric.links
        try:
            async with asyncio.timeout(timeout_s):
                if not links.streams_pass(self._address, address):
                    await asyncio.Event().wait()  # nothing comes back: the timeout ends it
                await asyncio.sleep(links.stream_delay_s())
                target = self._fabric.members.get(address)
                if target is None:
                    raise StreamFailed("cannot connect: nobody listens there")
                reply = await target._serve(data, self._address)
                await asyncio.sleep(links.stream_delay_s())
        except TimeoutError as error:
            raise StreamFailed(f"no answer within {timeout_s:.1f} s") from error
        frame = _frame(self._head, reply) if reply else None
        if frame is None:
            raise StreamFailed("the peer closed the stream before the frame's end")
        return frame

    async def _serve(self, data: bytes, source: Address) -> bytes | None:
        if self._inbound >= limits.STREAMS_INBOUND_MAX:
            self.streams_refused += 1
            return None
        self._inbound += 1
        try:
            frame = _frame(self._head, data)
            if frame is None:
                self.streams_refused += 1
                return None
            return await self._on_frame(frame, source)
        finally:
            self._inbound -= 1

    async def close(self) -> None:
        """Leave the network; what was sent is not delivered any more."""
        if self._fabric.members.get(self._address) is self:
            del self._fabric.members[self._address]
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()


def _frame(head: bytes, data: bytes) -> bytes | None:
    try:
        return FrameReader(head).feed(data)
    except DecodeError:
        return None
