"""Makes the drivers of a node, watches their health, and hands them out.

Theory: one fingerprint per driver at start, then every period; a change of detected, healthy, description or
attributes is told to the owner, who registers the node again. A driver that raises or hangs in its fingerprint is
unhealthy and says why; it harms no other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from daemon.aio.scope import Scope
from daemon.model.node import DriverInfo
from daemon.node.config import NodeConfig
from daemon.node.drivers.host import DriverHost
from daemon.node.drivers.remote import RemoteDriver
from plugins.driver import Driver, DriverContext, DriverError, DriverEvent, Fingerprint

if TYPE_CHECKING:
    from plugins.supervisor.client import SupervisorClient

log = logging.getLogger("encamp.node")

_FINGERPRINT_S = 10.0
#: an unhealthy driver is looked at sooner, so that it is of use again soon.
_UNHEALTHY_PERIOD_S = 5.0
_CLOSE_S = 5.0
_SUPERVISOR_S = 30.0

SupervisorFactory = Callable[[Path], Coroutine[Any, Any, "SupervisorClient"]]


class DriverManager:
    """The node's drivers. Owned by the node agent; called on its loop."""

    def __init__(
        self,
        config: NodeConfig,
        kinds: dict[str, type[Driver]],
        *,
        node_id: str,
        on_change: Callable[[], None],
        on_event: Callable[[DriverEvent], None],
        supervisor: SupervisorFactory | None = None,
    ) -> None:
        self._config = config
        self._kinds = kinds
        self._node_id = node_id
        self._on_change = on_change
        self._on_event = on_event
        self._supervisor_factory = supervisor
        self._supervisor: SupervisorClient | None = None
        self._host = DriverHost()
        self._drivers: dict[str, Driver] = {}
        self._remotes: dict[str, RemoteDriver] = {}
        self.infos: dict[str, DriverInfo] = {}

    async def start(self) -> None:
        """Start the thread, make all drivers, and look at each once."""
        self._host.start()
        await self._start_supervisor()
        await self._make_all(self._kinds)

    async def _make_all(self, kinds: dict[str, type[Driver]]) -> None:
        loop = asyncio.get_running_loop()

        def emit(event: DriverEvent) -> None:
            try:
                loop.call_soon_threadsafe(self._on_event, event)
            except RuntimeError:
                log.debug("an event of task %s came after the agent's end", event.task_id)

        made = []
        for name, kind in sorted(kinds.items()):
            try:
                self._drivers[name] = await self._host.call(self._make(kind, emit), timeout_s=_FINGERPRINT_S)
                self._remotes[name] = RemoteDriver(self._host, self._drivers[name])
                made.append(name)
            except Exception as error:
                log.exception("driver %s cannot be used on this node", name)
                self._note(name, Fingerprint(health="undetected", description=f"cannot be made: {error}"))
        async with Scope("fingerprint") as scope:
            for name in made:
                scope.spawn(self._look(name), name)
            await scope.drain()

    async def _start_supervisor(self) -> bool:
        """Find or start the supervisor. False when there is one to have and it does not come."""
        if self._supervisor_factory is None or self._supervisor is not None:
            return True
        directory = self._config.data_dir / "supervisor"
        try:
            self._supervisor = await self._host.call(
                self._supervisor_factory(directory), timeout_s=_SUPERVISOR_S
            )
        except (DriverError, OSError, TimeoutError) as error:
            log.error("no supervisor in %s yet: %s; raw_exec and exec wait for it", directory, error)
            return False
        return True

    async def _keep_asking(self) -> None:
        """When the supervisor did not come at the start: make the drivers that need it once it is there."""
        while True:
            if await self._start_supervisor():
                break
            await asyncio.sleep(_UNHEALTHY_PERIOD_S)
        waiting = {
            name: kind
            for name, kind in self._kinds.items()
            if name in self._drivers and self._drivers[name].context.supervisor is not self._supervisor
            # one that works without it may hold tasks already
            if not self.infos[name].detected
        }
        if waiting:
            await self._make_all(waiting)
            self._on_change()

    async def _make(self, kind: type[Driver], emit: Callable[[DriverEvent], None]) -> Driver:
        directory = self._config.data_dir / "drivers" / kind.name
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return kind(
            DriverContext(
                node_id=self._node_id,
                node_name=self._config.name,
                data_dir=directory,
                config=self._config.plugin_config.get(kind.name, {}),
                dev=self._config.dev,
                emit=emit,
                logger=logging.getLogger(f"encamp.driver.{kind.name}"),
                supervisor=self._supervisor,
            )
        )

    def get(self, name: str) -> RemoteDriver:
        """The driver of that name.

        Raises: DriverError; recoverable when it may come back (an engine that is down).
        """
        remote, info = self._remotes.get(name), self.infos.get(name)
        if remote is None or info is None:
            known = ", ".join(sorted(self._remotes)) or "none"
            raise DriverError(f"this node has no driver {name!r} (it has: {known})")
        if not info.detected:
            raise DriverError(f"driver {name!r} cannot be used on this node: {info.health_description}")
        return remote

    def held(self, name: str) -> RemoteDriver | None:
        """The driver whatever its health: for tasks that it has already."""
        return self._remotes.get(name)

    @property
    def attributes(self) -> dict[str, str]:
        """Attributes of all drivers."""
        found: dict[str, str] = {}
        for info in self.infos.values():
            found.update(info.attributes)
        return found

    async def run(self) -> None:
        """Look at all drivers for ever, each in its own time."""
        async with Scope("driver health") as scope:
            scope.spawn(self._keep_asking(), "supervisor")
            for name in self._drivers:
                scope.spawn(self._watch(name), name)
            await scope.drain()

    async def _watch(self, name: str) -> None:
        while True:
            healthy = self.infos[name].healthy or not self.infos[name].detected
            await asyncio.sleep(self._config.driver_period_s if healthy else _UNHEALTHY_PERIOD_S)
            if await self._look(name):
                self._on_change()

    async def _look(self, name: str) -> bool:
        try:
            found = await self._host.call(self._drivers[name].fingerprint(), timeout_s=_FINGERPRINT_S)
        except TimeoutError:
            found = Fingerprint(health="unhealthy", description=f"did not answer within {_FINGERPRINT_S:g} s")
        except Exception as error:
            log.warning("fingerprint of driver %s failed: %s", name, error)
            found = Fingerprint(health="unhealthy", description=str(error) or type(error).__name__)
        return self._note(name, found)

    def _note(self, name: str, found: Fingerprint) -> bool:
        """Keep what was found; True when something has changed."""
        info = DriverInfo(
            detected=found.health != "undetected",
            healthy=found.health == "healthy",
            health_description=found.description or ("Healthy" if found.health == "healthy" else ""),
            attributes={key: value for key, value in found.attributes.items() if value},
        )
        before = self.infos.get(name)
        if before is not None and msgspec.structs.replace(before, update_time_ns=0) == info:
            return False
        if before is not None:
            log.info("driver %s is now %s: %s", name, found.health, info.health_description)
        self.infos[name] = msgspec.structs.replace(info, update_time_ns=time.time_ns())
        return True

    async def close(self, *, end_supervisor: bool) -> None:
        """Let go of all drivers; their tasks go on, unless the supervisor is to end too. Bounded in time."""
        for name, driver in self._drivers.items():
            try:
                await self._host.call(driver.close(), timeout_s=_CLOSE_S)
            except Exception as error:
                log.warning("driver %s did not close: %s", name, error or type(error).__name__)
        if self._supervisor is not None:
            await self._close_supervisor(self._supervisor, end_supervisor)
        await self._host.stop()

    async def _close_supervisor(self, supervisor: SupervisorClient, end: bool) -> None:
        """End the supervisor, or leave it with its tasks; one that has none refuses nothing and ends too."""
        try:
            await self._host.call(supervisor.shutdown(force=end), timeout_s=2 * _CLOSE_S)
            return
        except Exception as error:
            if end:
                log.warning("the supervisor did not end: %s", error or type(error).__name__)
        try:
            await self._host.call(supervisor.close(), timeout_s=_CLOSE_S)
        except Exception as error:
            log.warning("the connection to the supervisor did not close: %s", error or type(error).__name__)
