"""Gossip: one member of a cluster, the public face of the package.

Theory: make it from a Config, `start()` it on a running loop, `join()` somebody, read `members()` and `events()`, and
`leave()`. `async with` starts and, at the end, closes without leaving (others see a failure, as after a crash).
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import random
import socket
from collections.abc import Iterable, Mapping
from dataclasses import replace

import msgspec

from gossip.config import Config, advertised, validate
from gossip.core.core import Core
from gossip.core.metrics import Metrics
from gossip.core.snapshot import Snapshot, parse_snapshot
from gossip.errors import JoinFailed, NotRunning
from gossip.model import Address, JoinResult, Member, QueryResult
from gossip.shell import files
from gossip.shell.feeds import Feed
from gossip.shell.retry import backoff_s
from gossip.shell.rotation import KeyringControl
from gossip.shell.runner import QueryHandler, Runner
from gossip.shell.transport import Transport
from gossip.shell.udp import UdpTransport, default_host

log = logging.getLogger("gossip")

_RESOLVE_S = 5.0
_MARGIN_S = 5.0


class Gossip:
    """One member. Use from one event loop; a member that has left is not started again: make a new one."""

    def __init__(
        self, config: Config, *, transport: Transport | None = None, seed: int | None = None
    ) -> None:
        """`transport`: another network than UDP and TCP; `seed`: repeatable choices, for tests. Raises: ConfigError."""
        validate(config)
        self.config = config
        self._transport = transport
        self._random = random.Random(seed)
        self._runner: Runner | None = None
        self._handler: QueryHandler | None = None
        self._closed = False

    async def __aenter__(self) -> Gossip:
        await self.start()
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Listen and be a cluster of one; with a snapshot, go on in the background to find the last cluster again.

        Raises: OSError when the address cannot be had or a file cannot be read; KeyringError for a broken key file.
        """
        if self._runner is not None or self._closed:
            raise NotRunning(f"member {self.config.name!r} was started before; make a new Gossip")
        config = self.config
        if config.keyring_path:
            kept = await asyncio.to_thread(files.read_keys, config.keyring_path)
            if kept:
                config = msgspec.structs.replace(config, keys=kept)
            elif config.keys:
                await asyncio.to_thread(files.write_keys, config.keyring_path, config.keys)
        restored = await self._restore()
        transport = self._transport or UdpTransport(
            config.host, config.port, stream_timeout_s=config.timing.exchange.timeout_s
        )
        runner = Runner(Core(config, self._random, os.urandom), transport)
        bound = await runner.open()
        self._runner = runner
        runner.on_query = self._handler
        host, port = advertised(config, bound)
        if ipaddress.ip_address(host).is_unspecified:
            host = default_host()
        runner.start((host, port), restored)
        if restored is not None and restored.members:
            runner.scope.spawn(self._rejoin(restored), "rejoin")

    async def _restore(self) -> Snapshot | None:
        if not self.config.snapshot_path:
            return None
        lines = await asyncio.to_thread(files.read_lines, self.config.snapshot_path)
        return parse_snapshot(lines, after_leave=self.config.rejoin_after_leave)

    async def _rejoin(self, snapshot: Snapshot) -> None:
        addresses = [
            f"{_bracketed(host)}:{port}"
            for name, (host, port) in snapshot.members.items()
            if name != self.config.name
        ]
        if not addresses:
            return
        self._random.shuffle(addresses)
        attempt = 0
        while self._core.context.table.living <= 1:
            attempt += 1
            for address in addresses:
                try:
                    await self.join([address])
                except JoinFailed as error:
                    log.info("%s: rejoining: %s", self.config.name, error)
                else:
                    return
            await asyncio.sleep(backoff_s(attempt, first_s=1.0, max_s=30.0, rng=self._random))

    @property
    def _running(self) -> Runner:
        if self._runner is None or self._closed:
            raise NotRunning(f"member {self.config.name!r} is not running")
        return self._runner

    @property
    def _core(self) -> Core:
        return self._running.core

    @property
    def address(self) -> Address:
        """Where others reach this member."""
        return self._core.context.address

    # ---- joining and leaving

    async def join(self, addresses: Iterable[str]) -> JoinResult:
        """Join through each `host:port` (or `host`, with this member's port); one success is enough.

        Raises: JoinFailed with a reason for each address.
        """
        joined: list[str] = []
        failures: dict[str, str] = {}
        for address in addresses:
            error = "does not resolve to an address"
            for target in await self._resolve(address):
                error = await self._join_one(target)
                if not error:
                    joined.append(address)
                    break
            if error:
                failures[address] = error
        if not joined:
            raise JoinFailed(failures)
        return JoinResult(joined=tuple(joined), failures=failures)

    async def join_until(
        self, addresses: Iterable[str], *, first_s: float = 1.0, max_s: float = 30.0
    ) -> JoinResult:
        """Join, trying again (names are resolved anew) until one address works; cancel it to stop."""
        wanted = tuple(addresses)
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self.join(wanted)
            except JoinFailed as error:
                wait_s = backoff_s(attempt, first_s=first_s, max_s=max_s, rng=self._random)
                log.warning("%s: %s (try %d); again in %.1f s", self.config.name, error, attempt, wait_s)
                await asyncio.sleep(wait_s)

    def stay_joined(self, addresses: Iterable[str], *, every_s: float = 30.0) -> None:
        """In the background: join whenever this member is alone, for as long as it runs.

        One join is not enough when several members start together: the one joined may itself be alone, or be leaving.
        """
        self._running.scope.spawn(self._stay_joined(tuple(addresses), every_s), "stay joined")

    async def _stay_joined(self, addresses: tuple[str, ...], every_s: float) -> None:
        attempt = 0
        while True:
            wait_s = every_s * (0.5 + 0.5 * self._random.random())
            if self._core.context.table.living <= 1:
                attempt += 1
                try:
                    await self.join(addresses)
                    attempt = 0
                except JoinFailed as error:
                    wait_s = backoff_s(attempt, first_s=0.5, max_s=every_s, rng=self._random)
                    log.info("%s: %s (try %d); again in %.1f s", self.config.name, error, attempt, wait_s)
            await asyncio.sleep(wait_s)

    async def _join_one(self, target: Address) -> str:
        runner = self._running
        op, outcome = runner.expect()
        runner.command(runner.core.join, op, target)
        try:
            async with asyncio.timeout(self.config.timing.exchange.timeout_s + _MARGIN_S):
                return str(await outcome)
        except TimeoutError:
            return "no outcome in time"
        finally:
            runner.forget(op)

    async def _resolve(self, address: str) -> list[Address]:
        host, port = _split(address, self.config.port or self.address[1])
        try:
            return [(str(ipaddress.ip_address(host)), port)]
        except ValueError:
            pass
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_RESOLVE_S):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        except (OSError, TimeoutError, UnicodeError):
            return []
        return list(dict.fromkeys((str(entry[4][0]), int(entry[4][1])) for entry in found))

    async def leave(self) -> None:
        """Leave on purpose, tell the others, and stop. Takes a few seconds at most."""
        runner = self._running
        life = self.config.timing.lifecycle
        runner.command(runner.core.leave)
        try:
            async with asyncio.timeout(2 * life.broadcast_timeout_s + life.leave_delay_s + _MARGIN_S):
                await runner.stopped.wait()
        except TimeoutError:
            log.error("%s: the leave did not end in time; stopping without it", self.config.name)
        await self.close()

    async def close(self) -> None:
        """Stop without a word. Idempotent."""
        self._closed = True
        if self._runner is not None:
            await self._runner.close()

    def force_leave(self, name: str) -> None:
        """Declare that a failed member will not come back: it becomes `left` everywhere."""
        self._running.command(self._core.force_leave, name)

    # ---- what is known

    def members(self) -> tuple[Member, ...]:
        """Everybody known, sorted by name, this member and tombstones included."""
        return self._core.members()

    def events(self) -> Feed:
        """A stream of what changes from now on, each reader its own: `async for event in gossip.events()`."""
        runner = self._running
        feed = Feed(runner.feeds.remove)
        runner.feeds.append(feed)
        return feed

    def metrics(self) -> Metrics:
        """Counters and gauges at this moment."""
        runner = self._running
        return replace(
            runner.core.metrics(),
            send_errors=runner.send_errors,
            streams_refused=runner.transport.streams_refused,
            feeds_resynced=sum(feed.resyncs for feed in runner.feeds),
        )

    # ---- what is told

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Replace this member's tags. Raises: TooLarge."""
        self._running.command(self._core.set_tags, tags)

    def user_event(self, name: str, payload: bytes = b"") -> None:
        """Send a small event to everybody, best effort. Raises: TooLarge."""
        self._running.command(self._core.user_event, name, payload)

    async def query(
        self,
        name: str,
        payload: bytes = b"",
        *,
        nodes: tuple[str, ...] = (),
        tags: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        ack: bool = False,
        relays: int = 0,
    ) -> QueryResult:
        """Ask all members (or those named, with these tags) and collect their answers. Raises: TooLarge."""
        runner = self._running
        op, outcome = runner.expect()
        wait_s = runner.core.querying.default_timeout_s() if timeout_s is None else timeout_s
        options = {"nodes": nodes, "tags": tags or {}, "timeout_s": wait_s, "ack": ack, "relays": relays}
        try:
            runner.command(runner.core.query, op, name, payload, **options)
            async with asyncio.timeout(wait_s + _MARGIN_S):
                result = await outcome
        finally:
            runner.forget(op)
        assert isinstance(result, QueryResult)
        return result

    def on_query(self, handler: QueryHandler) -> None:
        """Set what answers queries: called with name, payload and sender; may be async; None is no answer."""
        self._handler = handler
        if self._runner is not None:
            self._runner.on_query = handler

    @property
    def keyring(self) -> KeyringControl:
        """Key rotation for the whole cluster."""
        return KeyringControl(self._core.keys, self.query)


def _split(address: str, port: int) -> tuple[str, int]:
    """Host and port of `host`, `host:port`, `[v6]` or `[v6]:port`."""
    host, colon, tail = address.rpartition(":")
    if address.startswith("[") and address.endswith("]"):
        return address[1:-1], port
    if colon and tail.isascii() and tail.isdigit() and (":" not in host or host.endswith("]")):
        return host.strip("[]"), int(tail)
    return address, port


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
