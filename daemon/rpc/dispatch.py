"""Which handler serves which method. Handlers are typed coroutines; the wire is not their business."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from daemon.model.base import decode, encode
from daemon.model.errors import InvalidInput, NotFound
from daemon.rpc.methods import METHODS, Method
from daemon.rpc.stream import Stream


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls. Set by the listener, never from the caller's word."""

    #: the connection's number on this listener; names the peer for calls back.
    peer: int = 0
    #: "ipc", "tcp", "inproc".
    transport: str = "inproc"


Handler = Callable[[Any, Caller], Awaitable[Any]]
StreamHandler = Callable[[Any, Stream, Caller], Awaitable[None]]


class Dispatcher:
    """Table of handlers. One per agent; endpoints register themselves by Method."""

    def __init__(self) -> None:
        self._unary: dict[str, Handler] = {}
        self._streams: dict[str, StreamHandler] = {}

    def serve(self, method: Method[Any, Any], handler: Handler) -> None:
        """Serve a unary method. A second handler for the same method is a mistake."""
        if method.stream or method.name in self._unary:
            raise ValueError(f"{method.name} is a stream or is served already")
        self._unary[method.name] = handler

    def serve_stream(self, method: Method[Any, Any], handler: StreamHandler) -> None:
        """Serve a streaming method."""
        if not method.stream or method.name in self._streams:
            raise ValueError(f"{method.name} is no stream or is served already")
        self._streams[method.name] = handler

    def is_stream(self, name: str) -> bool:
        """True when the method is a stream. An unknown method is none; calling it says so."""
        method = METHODS.get(name)
        return method is not None and method.stream

    async def call(self, name: str, body: bytes, caller: Caller) -> bytes:
        """Serve one unary call from bytes to bytes.

        Raises: EncampError subclasses, meant for the caller.
        """
        if name not in METHODS:
            raise NotFound(f"no such RPC method: {name!r}; the caller may be newer than this agent")
        handler = self._unary.get(name)
        if handler is None:
            raise NotFound(f"this agent does not serve {name}: it has not the role for it")
        return encode(await handler(decode(body, METHODS[name].request), caller))

    async def open(self, name: str, body: bytes, stream: Stream, caller: Caller) -> None:
        """Serve one stream to its end."""
        handler = self._streams.get(name)
        if handler is None:
            raise NotFound(f"this agent does not serve {name}: it has not the role for it")
        await handler(decode(body, METHODS[name].request), stream, caller)


def require(value: str, what: str) -> str:
    """The value, or InvalidInput naming the field that is empty."""
    if not value:
        raise InvalidInput(f"the request lacks {what}")
    return value
