"""UDP and TCP on one port, on asyncio.

Theory: the UDP socket is read by hand, many packets a turn: asyncio's endpoint would make one callback each. A packet
that cannot be sent at once is dropped: UDP promises nothing, and gossip repeats itself. An inbound stream has a
deadline, a place among at most 128, and a share of one byte budget; a frame is read by FrameReader, which trusts no
header.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from contextlib import suppress

from gossip import limits
from gossip.errors import DecodeError
from gossip.model import Address
from gossip.shell.scope import Scope
from gossip.shell.transport import OnFrame, OnPacket, StreamFailed
from gossip.wire.stream import FrameReader

_CHUNK_BYTES = 64 * 1024
_BUFFER_BYTES = 1024 * 1024
_BIND_TRIES = 20


class UdpTransport:
    """Listens on (host, port), port 0 for a free one."""

    def __init__(self, host: str, port: int, *, stream_timeout_s: float) -> None:
        self._host = host
        self._port = port
        self._stream_timeout_s = stream_timeout_s
        self._scope = Scope("gossip-streams")
        self._packets: socket.socket | None = None
        self._streams: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._head = b""
        self._buffered = 0
        self._inbound = 0
        self.streams_refused = 0

    async def open(self, on_packet: OnPacket, on_frame: OnFrame, head: bytes) -> Address:
        """Bind both sockets to one port. Raises: OSError."""
        self._on_packet, self._on_frame, self._head = on_packet, on_frame, head
        self._streams, self._packets = self._bind()
        address = self._packets.getsockname()[:2]
        self._server = await asyncio.start_server(self._accept, sock=self._streams, limit=_CHUNK_BYTES)
        asyncio.get_running_loop().add_reader(self._packets.fileno(), self._readable)
        return (str(address[0]), int(address[1]))

    def _bind(self) -> tuple[socket.socket, socket.socket]:
        family = socket.AF_INET6 if ipaddress.ip_address(self._host).version == 6 else socket.AF_INET
        for attempt in range(1, _BIND_TRIES + 1):
            streams = socket.socket(family, socket.SOCK_STREAM)
            packets = socket.socket(family, socket.SOCK_DGRAM)
            try:
                streams.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                streams.bind((self._host, self._port))
                packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
                packets.bind((self._host, streams.getsockname()[1]))
            except OSError as error:
                streams.close()
                packets.close()
                # a free TCP port may be taken for UDP: take another one
                if self._port or error.errno != errno.EADDRINUSE or attempt == _BIND_TRIES:
                    where = f"{self._host}:{self._port}"
                    raise OSError(
                        error.errno, f"cannot listen on {where} (UDP and TCP): {error.strerror}"
                    ) from error
                continue
            streams.setblocking(False)
            packets.setblocking(False)
            return streams, packets
        raise AssertionError("the last try returns or raises")

    # ---- packets

    def _readable(self) -> None:
        self._read(limits.DATAGRAMS_PER_TURN)

    def drain(self) -> None:
        """Hand over all that waits, up to what a full socket buffer can hold."""
        self._read(_BUFFER_BYTES // 64)

    def _read(self, count_max: int) -> None:
        for _ in range(count_max):
            packets = self._packets
            if packets is None:  # closed, perhaps by what the last packet caused
                return
            try:
                # one byte more than allowed, so that an oversized packet is seen as such
                data, source = packets.recvfrom(limits.PACKET_BYTES_MAX + 1)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue  # an ICMP error about an earlier send; nothing to read
            self._on_packet(data, (source[0], source[1]))

    def send(self, address: Address, data: bytes) -> bool:
        """Send or drop."""
        if self._packets is None:
            return False
        try:
            self._packets.sendto(data, address)
        except (OSError, OverflowError, ValueError):
            return False
        return True

    # ---- streams

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._inbound >= limits.STREAMS_INBOUND_MAX:
            self.streams_refused += 1
            writer.transport.abort()
            return
        self._inbound += 1
        if self._scope.spawn(self._serve(reader, writer), "inbound") is None:
            self._inbound -= 1
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername") or ("", 0)
        try:
            async with asyncio.timeout(self._stream_timeout_s):
                frame = await self._read_frame(reader)
                reply = await self._on_frame(frame, (peer[0], peer[1]))
                if reply is not None:
                    writer.write(reply)
                    await writer.drain()
                    writer.write_eof()
        except (DecodeError, TimeoutError, OSError, StreamFailed):
            self.streams_refused += 1
        finally:
            self._inbound -= 1
            await _close(writer)

    async def _read_frame(self, reader: asyncio.StreamReader) -> bytes:
        frames = FrameReader(self._head)
        held = 0
        try:
            while True:
                data = await reader.read(_CHUNK_BYTES)
                if not data:
                    raise StreamFailed("the peer closed the stream before the frame's end")
                held += len(data)
                self._buffered += len(data)
                if self._buffered > limits.STREAM_BUFFERED_BYTES_MAX:
                    raise StreamFailed("too many bytes wait in inbound streams")
                frame = frames.feed(data)
                if frame is not None:
                    return frame
        finally:
            self._buffered -= held

    async def exchange(self, address: Address, data: bytes, timeout_s: float) -> bytes:
        """Connect, send, read one frame. Raises: StreamFailed."""
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await asyncio.open_connection(*address, limit=_CHUNK_BYTES)
                writer.write(data)
                await writer.drain()
                return await self._read_frame(reader)
        except TimeoutError as error:
            raise StreamFailed(f"no answer within {timeout_s:.1f} s") from error
        except (OSError, OverflowError, ValueError) as error:
            raise StreamFailed(f"cannot connect: {error}") from error
        except DecodeError as error:
            raise StreamFailed(f"the answer is not understood ({error})") from error
        finally:
            if writer is not None:
                await _close(writer)

    async def close(self) -> None:
        """Stop."""
        if self._packets is not None:
            asyncio.get_running_loop().remove_reader(self._packets.fileno())
            self._packets.close()
            self._packets = None
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._scope.close()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(1.0):
            await writer.wait_closed()
    writer.transport.abort()


def default_host() -> str:
    """The address of the default route, or loopback when there is none: what to tell others instead of a wildcard."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(
                ("192.0.2.1", 9)
            )  # documentation address: nothing is sent, only a route is looked up
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
