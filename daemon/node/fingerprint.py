"""Runs the probes and makes the node's record from what they and the drivers found.

Theory: each probe runs in a thread with a deadline, at start and then in its own period; what it found replaces what
it said before. A probe that fails keeps its last facts and is reported. One that hangs is not started again until it
has ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from daemon.aio.scope import Scope
from daemon.model.enums import NodeStatus
from daemon.model.node import DriverInfo, HostVolume, Node, NodeNetwork, NodeResources
from daemon.node.config import NodeConfig
from daemon.node.hostnets import host_networks
from daemon.node.identity import Identity
from plugins.fingerprint.base import Fingerprinter, ProbeContext, ProbeResult

log = logging.getLogger("encamp.node")

_PROBE_S = 10.0


class Fingerprints:
    """What the probes found. Owned by the node agent."""

    def __init__(
        self, config: NodeConfig, kinds: list[type[Fingerprinter]], on_change: Callable[[], None]
    ) -> None:
        self._context = ProbeContext(data_dir=config.data_dir, overrides=config.overrides)
        self._probes = {kind.name: kind() for kind in kinds}
        self._on_change = on_change
        self._found: dict[str, ProbeResult] = {}
        self._running: dict[str, asyncio.Future[ProbeResult]] = {}

    async def start(self) -> None:
        """Run all probes once."""
        async with Scope("probes") as scope:
            for name in self._probes:
                scope.spawn(self._probe(name), name)
            await scope.drain()

    async def run(self) -> None:
        """Run the periodic ones for ever."""
        async with Scope("probes") as scope:
            for name, probe in self._probes.items():
                if probe.period_s > 0:
                    scope.spawn(self._again(name, probe.period_s), name)
            await scope.drain()

    async def _again(self, name: str, period_s: float) -> None:
        while True:
            await asyncio.sleep(period_s)
            if await self._probe(name):
                self._on_change()

    async def _probe(self, name: str) -> bool:
        """Run one probe; True when it found something else than before."""
        if name in self._running:
            return False
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(None, self._probes[name].probe, self._context)
        self._running[name] = running
        running.add_done_callback(lambda done: self._ended(name, done))
        try:
            found = await asyncio.wait_for(asyncio.shield(running), _PROBE_S)
        except TimeoutError:
            log.warning("fingerprinter %s has not answered within %g s", name, _PROBE_S)
            return False
        except Exception as error:
            log.warning("fingerprinter %s failed: %s", name, error)
            return False
        if found == self._found.get(name):
            return False
        self._found[name] = found
        return True

    def _ended(self, name: str, done: asyncio.Future[ProbeResult]) -> None:
        self._running.pop(name, None)
        if not done.cancelled():
            done.exception()  # reported by whoever still waits

    @property
    def attributes(self) -> dict[str, str]:
        """All attributes that have a value."""
        found: dict[str, str] = {}
        for result in self._found.values():
            found.update({key: value for key, value in result.attributes.items() if value})
        return found

    def resources(self, config: NodeConfig) -> NodeResources:
        """What all probes together found."""
        facts: dict[str, int] = {}
        networks: tuple[NodeNetwork, ...] = ()
        core_ids: tuple[int, ...] = ()
        addresses: tuple[tuple[str, str], ...] = ()
        names = {
            "cpu_mhz": "cpu_shares",
            "cpu_cores": "total_cores",
            "memory_mb": "memory_mb",
            "disk_mb": "disk_mb",
        }
        for result in self._found.values():
            for source, target in names.items():
                value = getattr(result.resources, source)
                if value is not None:
                    facts[target] = value
            if result.resources.core_ids is not None:
                core_ids = result.resources.core_ids
            addresses = result.resources.addresses or addresses
            if result.resources.networks is not None:
                networks = tuple(
                    NodeNetwork(device=device, ip=ip, mbits=mbits)
                    for device, ip, mbits in result.resources.networks
                )
        return NodeResources(
            cpu_shares=facts.get("cpu_shares", 0),
            total_cores=facts.get("total_cores", 0),
            core_ids=core_ids,
            memory_mb=facts.get("memory_mb", 0),
            disk_mb=facts.get("disk_mb", 0),
            networks=networks,
            host_networks=host_networks(config.host_networks, addresses),
            min_dynamic_port=config.min_dynamic_port,
            max_dynamic_port=config.max_dynamic_port,
        )


def make_node(
    config: NodeConfig,
    identity: Identity,
    fingerprints: Fingerprints,
    drivers: dict[str, DriverInfo],
    driver_attributes: dict[str, str],
) -> Node:
    """The node's record as it is registered."""
    attributes = {**fingerprints.attributes, **driver_attributes}
    if config.version:
        attributes["nomad.version"] = config.version
    volumes = {
        name: HostVolume(name=name, path=volume.path, read_only=volume.read_only)
        for name, volume in sorted(config.host_volumes.items())
    }
    return Node(
        id=identity.node_id,
        secret_id=identity.secret_id,
        name=config.name,
        datacenter=config.datacenter,
        node_class=config.node_class,
        node_pool=config.node_pool,
        http_addr=config.http_addr,
        attributes=attributes,
        meta=config.meta,
        drivers=drivers,
        host_volumes=volumes,
        node_resources=fingerprints.resources(config),
        reserved=config.reserved,
        node_max_allocs=config.node_max_allocs,
        status=NodeStatus.INITIALIZING,
    )
