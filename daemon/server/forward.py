"""Methods that a node serves (logs, files, exec, restart ...), asked of any agent: found and passed on.

The agent's own node is called directly; any other over the connection that it keeps to this server.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

from daemon.model.errors import NotFound
from daemon.rpc import methods
from daemon.rpc.dispatch import Caller, Dispatcher
from daemon.rpc.methods import METHODS, Method
from daemon.rpc.splice import splice
from daemon.rpc.stream import Stream
from daemon.server.endpoints.allocs import AllocEndpoints
from daemon.server.links import NodeLinks
from daemon.server.queries import resolve
from daemon.state.state import State

#: seconds that a node has for a unary call, e.g. a restart that waits for a kill timeout.
NODE_CALL_S = 60.0


class LocalNode(Protocol):
    """The node role of this agent."""

    @property
    def node_id(self) -> str:
        """Its id."""

    @property
    def handlers(self) -> dict[str, Callable[..., Awaitable[Any]]]:
        """Handlers by method name: `(request)` or, for streams, `(request, stream)`."""


class Forwarder:
    """Registers itself for every method whose target is a node."""

    def __init__(self, state: State, allocs: AllocEndpoints, links: NodeLinks) -> None:
        self._state = state
        self._allocs = allocs
        self._links = links
        self.local: LocalNode | None = None

    def register_in(self, dispatcher: Dispatcher) -> None:
        """Serve all node methods."""
        for method in METHODS.values():
            if method.target == "node" and method.stream:
                dispatcher.serve_stream(method, self._stream_handler(method))
            elif method.target == "node":
                dispatcher.serve(method, self._unary_handler(method))

    def _target(self, method: Method[Any, Any], request: Any) -> tuple[str, Any]:
        """(node id, the request with the full id)."""
        if method is methods.NODE_STATS:
            return resolve(self._state, "nodes", request.id, "node"), request
        alloc = self._allocs.find(request.id)
        node = self._state.node(alloc.node_id)
        if node is None:
            raise NotFound(f"node {alloc.node_id} of allocation {alloc.id} is gone, and its files with it")
        return alloc.node_id, msgspec.structs.replace(request, id=alloc.id)

    def _unary_handler(self, method: Method[Any, Any]) -> Callable[[Any, Caller], Awaitable[Any]]:
        async def handle(request: Any, caller: Caller) -> Any:
            node_id, request = self._target(method, request)
            if self.local is not None and self.local.node_id == node_id:
                return await self.local.handlers[method.name](request)
            return await self._links.peer(node_id).call(method, request, timeout_s=NODE_CALL_S)

        return handle

    def _stream_handler(self, method: Method[Any, Any]) -> Callable[[Any, Stream, Caller], Awaitable[None]]:
        async def handle(request: Any, stream: Stream, caller: Caller) -> None:
            node_id, request = self._target(method, request)
            if self.local is not None and self.local.node_id == node_id:
                await self.local.handlers[method.name](request, stream)
                return
            async with self._links.peer(node_id).stream(method, request) as remote:
                await splice(stream, remote)

        return handle
