"""Streams of the engine (logs, wait, pull, exec) as plain sockets on the driver's loop.

Theory: the Docker SDK reads such streams in blocking threads; a thread for each container would be the
price. An HTTP/1.0 request is answered by a body that ends with the connection and never with chunks, so a
few lines suffice. Closing the socket cancels what the engine does for it (a pull, for one). Everything
that is a question with one short answer goes through the SDK (plugins.docker_driver.engine).
Source: Docker Engine API 1.41, "Attach" and "Upgrade".
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from plugins.driver import DriverError

DEFAULT_ENDPOINT: Final = "unix:///var/run/docker.sock"
CONNECT_TIMEOUT_S: Final = 5.0
MAX_HEAD_BYTES: Final = 65_536
MAX_ERROR_BYTES: Final = 65_536
READ_BYTES: Final = 65_536
MAX_LINE_BYTES: Final = 2**20


class EngineDown(DriverError):
    """The engine does not answer. The task's fate is unknown until it does."""

    def __init__(self, message: str) -> None:
        super().__init__(message, recoverable=True)


class EngineError(DriverError):
    """The engine refused; `status` is HTTP's."""

    def __init__(self, message: str, *, status: int, recoverable: bool = False) -> None:
        super().__init__(message, recoverable=recoverable)
        self.status = status


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where the engine listens, and with which certificates it is spoken to."""

    url: str = DEFAULT_ENDPOINT
    ca: str = ""
    cert: str = ""
    key: str = ""

    @property
    def socket_path(self) -> str:
        """The path of a unix socket; empty for TCP."""
        return self.url.removeprefix("unix://") if self.url.startswith("unix://") else ""

    @property
    def has_tls(self) -> bool:
        """True when certificates were given."""
        return bool(self.ca or self.cert or self.key)


def default_endpoint(environ: Mapping[str, str] | None = None) -> str:
    """DOCKER_HOST where it is set, else the usual socket."""
    return (os.environ if environ is None else environ).get("DOCKER_HOST") or DEFAULT_ENDPOINT


class EngineStream:
    """One answer of the engine: `status` and a body to read until it ends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, status: int) -> None:
        self.reader = reader
        self.writer = writer
        self.status = status

    async def read(self) -> bytes:
        """The next bytes; empty at the end. Raises EngineDown when the connection breaks."""
        try:
            return await self.reader.read(READ_BYTES)
        except OSError as error:
            raise EngineDown("the connection to the Docker engine broke") from error

    async def write(self, data: bytes) -> None:
        """Send bytes to an upgraded stream; waits when the engine is slow."""
        try:
            self.writer.write(data)
            await self.writer.drain()
        except OSError as error:
            raise EngineDown("the connection to the Docker engine broke") from error

    def write_eof(self) -> None:
        """Tell the other side that no more input comes."""
        with suppress(OSError):
            if self.writer.can_write_eof():
                self.writer.write_eof()

    async def read_all(self, limit: int = MAX_ERROR_BYTES) -> bytes:
        """The body up to `limit` bytes."""
        parts: list[bytes] = []
        size = 0
        while size < limit and (chunk := await self.read()):
            parts.append(chunk)
            size += len(chunk)
        return b"".join(parts)[:limit]

    async def json_lines(self) -> AsyncIterator[dict[str, Any]]:
        """Objects of a stream that has one a line."""
        rest = b""
        while chunk := await self.read():
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > MAX_LINE_BYTES:
                raise EngineDown(f"the Docker engine sent a line of over {MAX_LINE_BYTES} bytes")
            for line in lines:
                if line.strip():
                    yield _object(line)
        if rest.strip():
            yield _object(rest)


def _object(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise EngineDown(f"the Docker engine sent something that is no JSON: {line[:100]!r}") from error
    return found if isinstance(found, dict) else {}


def request_path(path: str, query: Mapping[str, str | int] | None = None) -> str:
    """The path of a request. It names no API version: the engine answers with its own."""
    return quote(path) + (f"?{urlencode(query)}" if query else "")


@asynccontextmanager
async def open_stream(
    address: Address,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
    upgrade: bool = False,
    answer_timeout_s: float | None = 60.0,
) -> AsyncIterator[EngineStream]:
    """Ask for a stream and yield it; the socket is closed at the end of the block.

    Raises: EngineDown when nobody answers, EngineError when the engine refuses. `answer_timeout_s` bounds the
    wait for the answer's head: None for requests whose head comes with the event that is waited for.
    """
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, writer = await _connect(address)
    except (OSError, TimeoutError) as error:
        raise EngineDown(unreachable(address)) from error
    try:
        payload = json.dumps(body).encode() if body is not None else b""
        writer.write(_head(method, path, headers or {}, payload, upgrade) + payload)
        try:
            async with asyncio.timeout(answer_timeout_s):
                await writer.drain()
                status = _status(await reader.readuntil(b"\r\n\r\n"))
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError) as error:
            raise EngineDown(f"the Docker engine at {address.url} did not answer {method} {path}") from error
        stream = EngineStream(reader, writer, status)
        if status >= 400:
            raise refusal(status, await stream.read_all())
        yield stream
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _connect(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if address.socket_path:
        return await asyncio.open_unix_connection(address.socket_path, limit=MAX_HEAD_BYTES)
    parts = urlsplit(address.url)
    host, secure = parts.hostname or "127.0.0.1", address.has_tls or parts.scheme == "https"
    context: ssl.SSLContext | None = None
    if secure:
        context = ssl.create_default_context(cafile=address.ca or None)
        if address.cert:
            context.load_cert_chain(address.cert, address.key or None)
    port = parts.port or (2376 if secure else 2375)
    return await asyncio.open_connection(host, port, ssl=context, limit=MAX_HEAD_BYTES)


def _head(method: str, path: str, headers: Mapping[str, str], payload: bytes, upgrade: bool) -> bytes:
    lines = [f"{method} {path} HTTP/{'1.1' if upgrade else '1.0'}", "Host: docker"]
    if upgrade:
        lines += ["Connection: Upgrade", "Upgrade: tcp"]
    if payload or method == "POST":
        lines += ["Content-Type: application/json", f"Content-Length: {len(payload)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _status(head: bytes) -> int:
    parts = head.split(b" ", 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/") or not parts[1].isdigit():
        raise EngineDown(f"what listens at the Docker endpoint does not speak HTTP: {head[:60]!r}")
    return int(parts[1])


def refusal(status: int, body: bytes) -> EngineError:
    """The engine's error answer as an exception with its own words."""
    text = body.decode(errors="replace").strip()
    with suppress(ValueError):
        found = json.loads(body)
        if isinstance(found, dict) and found.get("message"):
            text = str(found["message"])
    return EngineError(
        text or f"the Docker engine answered {status}", status=status, recoverable=status >= 500
    )


def unreachable(address: Address) -> str:
    """What to say when nobody listens."""
    return f"cannot reach the Docker engine at {address.url}; is dockerd running, and may this agent connect?"
