"""What the node agent must know of the agent's configuration. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from daemon.model.node import HostVolume, NodeReserved


class GcLimits(msgspec.Struct, frozen=True, kw_only=True):
    """When the directories of ended allocations are removed."""

    interval_s: float = 60.0
    disk_usage_percent: float = 80.0
    inode_usage_percent: float = 70.0
    allocs_max: int = 50
    parallel: int = 2
    #: ended allocations that are kept per group for a look at why they failed, whatever the limits say.
    keep_failed: int = 2


class HostNetworkRule(msgspec.Struct, frozen=True):
    """Which addresses of the machine bear the name of a host network; an empty word admits all."""

    cidr: str = ""
    interface: str = ""
    reserved_ports: tuple[int, ...] = ()


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one node. Directories are made where they are missing."""

    data_dir: Path
    #: where it differs from DATA_DIR/client and DATA_DIR/alloc.
    state_dir: Path | None = None
    alloc_dir: Path | None = None
    name: str
    region: str = "global"
    datacenter: str = "dc1"
    node_class: str = ""
    node_pool: str = "default"
    #: host:port shown to people; nodes need no open port.
    http_addr: str = ""
    meta: dict[str, str] = {}
    reserved: NodeReserved = NodeReserved()
    host_volumes: dict[str, HostVolume] = {}
    host_networks: dict[str, HostNetworkRule] = {}
    min_dynamic_port: int = 20000
    max_dynamic_port: int = 32000
    max_kill_timeout_s: float = 30.0
    node_max_allocs: int = 0
    gc: GcLimits = GcLimits()
    #: settings that override what is found (see plugins.fingerprint.base.ProbeContext).
    overrides: dict[str, Any] = {}
    #: `plugin "NAME" { config {...} }` per driver.
    plugin_config: dict[str, dict[str, Any]] = {}
    #: names of host variables that raw_exec tasks must not see.
    env_denylist: tuple[str, ...] = ()
    disable_remote_exec: bool = False
    dev: bool = False
    #: seconds between two looks at a driver.
    driver_period_s: float = 30.0
    #: version of encamp, an attribute of the node.
    version: str = ""

    @property
    def state_path(self) -> Path:
        """Directory of the local state."""
        return self.state_dir or self.data_dir / "client"

    @property
    def alloc_path(self) -> Path:
        """Directory of the allocations' directories."""
        return self.alloc_dir or self.data_dir / "alloc"
