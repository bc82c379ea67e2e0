"""A node-only agent answers commands too: it relays what is the servers' to its server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from daemon.rpc.client import Client
from daemon.rpc.dispatch import Caller, Dispatcher
from daemon.rpc.methods import METHODS, Method
from daemon.rpc.splice import splice
from daemon.rpc.stream import Stream

#: longest wait for an answer: a blocking query may take five minutes.
RELAY_S = 330.0


def relay_all(dispatcher: Dispatcher, client: Client) -> None:
    """Serve every method of servers and nodes by asking the server. Node-only methods stay closed."""
    for method in METHODS.values():
        if method.target == "agent" or method.node_only:
            continue
        if method.stream:
            dispatcher.serve_stream(method, _stream(client, method))
        else:
            dispatcher.serve(method, _unary(client, method))


def _unary(client: Client, method: Method[Any, Any]) -> Callable[[Any, Caller], Awaitable[Any]]:
    async def handle(request: Any, caller: Caller) -> Any:
        return await client.call(method, request, timeout_s=RELAY_S)

    return handle


def _stream(client: Client, method: Method[Any, Any]) -> Callable[[Any, Stream, Caller], Awaitable[None]]:
    async def handle(request: Any, stream: Stream, caller: Caller) -> None:
        async with client.stream(method, request) as remote:
            await splice(stream, remote)

    return handle
