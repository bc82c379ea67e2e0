"""The port between the runner and a network: packets, and streams of one frame each way.

Theory: two adapters pass one contract kit: UDP and TCP on a real port (udp.py), and memory (memory/transport.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from gossip.model import Address

OnPacket = Callable[[bytes, Address], None]
"""Called on the loop for each packet with its source."""

OnFrame = Callable[[bytes, Address], Awaitable[bytes | None]]
"""Called for each inbound frame; returns the answer, or None to close without one."""


class StreamFailed(Exception):
    """An exchange over a stream did not work; the text says why."""


class Transport(Protocol):
    """What a runner needs of a network."""

    async def open(self, on_packet: OnPacket, on_frame: OnFrame, head: bytes) -> Address:
        """Begin to listen; returns the bound address. `head` is the label that inbound frames begin with.

        Raises: OSError when the address cannot be had.
        """
        ...

    def send(self, address: Address, data: bytes) -> bool:
        """Send one packet now or drop it; False when it was dropped here."""
        ...

    def drain(self) -> None:
        """Hand over every packet that has arrived, before anybody is judged by the clock."""
        ...

    async def exchange(self, address: Address, data: bytes, timeout_s: float) -> bytes:
        """Connect, send a frame, read one. Raises: StreamFailed."""
        ...

    async def close(self) -> None:
        """Stop listening and end all streams. Idempotent."""
        ...

    @property
    def streams_refused(self) -> int:
        """Inbound streams closed for lack of room or for bad bytes."""
        ...
