"""One agent: its sockets, its server role, its node role.

Theory: one Dispatcher holds the handlers of all roles; every listener serves it. With the server role here, the
node speaks to it without a socket; a node-only agent speaks to a server over one connection, over which it is
called back too, and relays to it what its own ipc socket is asked.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from daemon.agent.endpoints import AgentEndpoints
from daemon.agent.logs import MonitorHandler
from daemon.agent.relay import relay_all
from daemon.agent.roles import node_config, server_config
from daemon.agent.socket_claim import WellKnownName, socket_path
from daemon.config.settings import AgentConfig
from daemon.model.base import decode, encode
from daemon.model.errors import DeadlineExceeded, Unavailable
from daemon.node.agent import NodeAgent
from daemon.rpc import messages as m
from daemon.rpc.address import Address, parse_address
from daemon.rpc.client import Client
from daemon.rpc.dispatch import Caller, Dispatcher
from daemon.rpc.listener import Listener
from daemon.rpc.methods import METHODS, Method
from daemon.rpc.peer import Peer
from daemon.rpc.stream import Stream
from plugins.manager import PluginManager
from plugins.supervisor.client import SupervisorClient

log = logging.getLogger("encamp.agent")

Q = TypeVar("Q")
A = TypeVar("A")


class LocalServer:
    """The node's way to a server in the same process: through the dispatcher, without a socket."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    async def call(self, method: Method[Q, A], request: Q, *, timeout_s: float = 10.0) -> A:
        """Call a method of the server role, with the same coding and deadlines as over the wire."""
        try:
            async with asyncio.timeout(timeout_s):
                body = await self._dispatcher.call(method.name, encode(request), Caller())
        except TimeoutError:
            raise DeadlineExceeded(f"no answer to {method.name} within {timeout_s:g} s") from None
        return decode(body, method.response)


class Agent:
    """Made by run.py. `start` and `close` are ordered lists; each can be stopped half-way."""

    def __init__(self, config: AgentConfig, data_dir: Path, monitor: MonitorHandler) -> None:
        self.config = config
        self.data_dir = data_dir
        self._monitor = monitor
        self._dispatcher = Dispatcher()
        self._listeners: list[Listener] = []
        self._client: Client | None = None
        self._server: Any = None
        self._node: NodeAgent | None = None
        self._lock: int | None = None
        self._name: WellKnownName | None = None
        self._fatal: asyncio.Future[str] | None = None
        self.address = ""

    # ---- start ----

    async def start(self) -> None:
        """Bring all roles up.

        Raises: EncampError with what to do; what was started is closed by `close`.
        """
        self._fatal = asyncio.get_running_loop().create_future()
        self._take_data_dir()
        AgentEndpoints(self._describe, self._monitor).register_in(self._dispatcher)
        if self.config.server.enabled:
            await self._start_server()
        else:
            await self._connect()
        if self.config.client.enabled:
            await self._start_node()
        await self._listen()
        roles = [name for name, on in (("server", self._server), ("node", self._node)) if on]
        log.info("agent %s is up: %s, %s", self.config.name, " and ".join(roles), self.address)

    def _take_data_dir(self) -> None:
        """One agent per data_dir; the lock goes with the process."""
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.data_dir / "agent.lock"
        self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Unavailable(
                f"{self.data_dir} belongs to a running agent already; stop that one or set data_dir"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    async def _start_server(self) -> None:
        from daemon.server.server import Server

        self._server = Server(server_config(self.config, self.data_dir))
        await self._server.start(self._dispatcher, on_fatal=self._die)
        self._server.links.use(self._peer_of)

    async def _connect(self) -> None:
        """A node without a server here: connect to one."""
        target = parse_address(self.config.client.servers[0])
        mine = Dispatcher()
        self._client = Client(target, mine, on_connect=self._connected)
        self._back = mine
        await self._client.start()
        relay_all(self._dispatcher, self._client)

    def _connected(self) -> None:
        log.info("connected to server %s", self._client.address if self._client else "")

    async def _start_node(self) -> None:
        plugins = PluginManager()
        for name, problem in plugins.load_all().items():
            log.error("plugin %s is left out: %s", name, problem)
        port = self._client if self._client is not None else LocalServer(self._dispatcher)
        self._node = NodeAgent(
            node_config(self.config, self.data_dir),
            port,
            drivers=plugins.drivers(),
            fingerprinters=plugins.fingerprinters(),
            supervisor=SupervisorClient.ensure,
        )
        await self._node.start()
        if self._server is not None:
            self._server.forwarder.local = _Local(self._node)
        else:
            serve_node_methods(self._back, self._node)

    async def _listen(self) -> None:
        self._name = WellKnownName(Path())
        own = socket_path(self.data_dir, self._name.path)
        await self._bind(Address("ipc", str(own)))
        self._name = WellKnownName(own)
        self._name.claim()
        self.address = f"ipc://{own}"
        if self.config.dev and self._server is not None:
            tcp = await self._bind(parse_address(f"{self.config.bind_addr}:{self.config.ports.rpc}"))
            self.address = tcp
            self._server.address = tcp

    async def _bind(self, address: Address) -> str:
        listener = Listener(self._dispatcher)
        self._listeners.append(listener)
        return await listener.start(address)

    # ---- while it runs ----

    def _peer_of(self, caller: Caller) -> Peer | None:
        """The live connection of a caller, on whichever listener it is."""
        for listener in self._listeners:
            if listener.transport == caller.transport:
                return listener.peer(caller.peer)
        return None

    def _die(self, reason: str) -> None:
        if self._fatal is not None and not self._fatal.done():
            self._fatal.set_result(reason)

    async def wait_fatal(self) -> str:
        """Wait for an error after which the process must not go on; returns what it is."""
        assert self._fatal is not None
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(_value(self._fatal))]
        if self._node is not None:
            waits.append(asyncio.ensure_future(self._node.run()))
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            first = next(iter(done))
            error = first.exception()
            return str(error) if error is not None else str(first.result() or "the node role has ended")
        finally:
            for wait in waits:
                wait.cancel()

    def _describe(self) -> m.AgentSelfResponse:
        from encamp import __version__

        return m.AgentSelfResponse(
            name=self.config.name,
            region=self.config.region,
            datacenter=self.config.datacenter,
            version=__version__,
            node_id=self._node.node_id if self._node is not None else "",
            server=self._server is not None,
            client=self._node is not None,
            config=msgspec.to_builtins(self.config, enc_hook=str),
            stats=msgspec.to_builtins(self._server.stats()) if self._server is not None else {},
        )

    # ---- end ----

    async def close(self) -> None:
        """Take all down, in the reverse order. `-dev` ends its tasks; a configured agent leaves them running."""
        if self._name is not None:
            self._name.release()
        if self._node is not None:
            await self._node.stop(kill_tasks=self.config.dev)
            self._node = None
        while self._listeners:
            await self._listeners.pop().close()
        if self._client is not None:
            await self._client.close()
            self._client = None
        if self._server is not None:
            await self._server.close()
            self._server = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


class _Local:
    """The node role as the server's forwarder wants it."""

    def __init__(self, node: NodeAgent) -> None:
        self._node = node

    @property
    def node_id(self) -> str:
        return self._node.node_id

    @property
    def handlers(self) -> dict[str, Any]:
        return self._node.endpoints.handlers


def serve_node_methods(dispatcher: Dispatcher, node: NodeAgent) -> None:
    """Serve the node's methods to the server that calls back."""
    for name, handler in node.endpoints.handlers.items():
        method = METHODS[name]
        if method.stream:

            async def stream(request: Any, stream: Stream, caller: Caller, handler: Any = handler) -> None:
                await handler(request, stream)

            dispatcher.serve_stream(method, stream)
        else:

            async def unary(request: Any, caller: Caller, handler: Any = handler) -> Any:
                return await handler(request)

            dispatcher.serve(method, unary)


async def _value(future: asyncio.Future[str]) -> str:
    return await asyncio.shield(future)
