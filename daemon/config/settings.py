"""What an agent may be told: frozen groups of settings, each with its meaning, unit and default. Pure.

Durations are seconds. Names of keys in files are those without the unit (`gc_interval = "1m"`).

Source: spec/nomad-surface.md D.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """A group of settings."""


class Ports(Settings, frozen=True, kw_only=True):
    """Ports that an agent listens on, all at `bind_addr`. 0: any free one (tests)."""

    #: HTTP API.
    http: int = 4646
    #: RPC between agents and from the command line.
    rpc: int = 4647
    #: gossip between servers.
    serf: int = 4648
    #: consensus between servers; its own port, so that nothing delays its heartbeats.
    raft: int = 4650


class LogSettings(Settings, frozen=True, kw_only=True):
    """The agent's own log."""

    #: TRACE, DEBUG, INFO, WARN, ERROR or OFF. -dev: DEBUG.
    level: str = "INFO"
    #: `text` for people, `json` for programs (`log_json = true` says the same).
    format: str = "text"
    #: file (or folder, with a / at its end) that is written besides standard error; empty: none.
    file: str = ""
    #: a file of this size is closed and a new one begun; 0: size does not matter.
    rotate_bytes: int = 0
    #: a file of this age is closed and a new one begun.
    rotate_duration_s: float = 24 * 3600.0
    #: closed files that are kept; 0: all.
    rotate_max_files: int = 0


class ServerSettings(Settings, frozen=True, kw_only=True):
    """The control plane."""

    #: whether this agent is a server. -dev: yes.
    enabled: bool = False
    #: servers to wait for before the first leader is chosen; only 1 until several servers can be had.
    bootstrap_expect: int = 1
    #: worker processes that evaluate jobs. Default: the machine's cores less one, at least 1.
    num_schedulers: int = 1
    #: how often dead jobs are looked for.
    job_gc_interval_s: float = 300.0
    #: age at which a dead job is collected.
    job_gc_threshold_s: float = 4 * 3600.0
    #: age at which a finished evaluation and its allocations are collected.
    eval_gc_threshold_s: float = 3600.0
    #: the same for batch jobs, whose results people look at later.
    batch_eval_gc_threshold_s: float = 24 * 3600.0
    #: age at which a finished deployment is collected.
    deployment_gc_threshold_s: float = 3600.0
    #: age at which a node that is down is forgotten.
    node_gc_threshold_s: float = 24 * 3600.0


class Reserved(Settings, frozen=True, kw_only=True):
    """What of the node is kept from tasks."""

    #: MHz.
    cpu: int = 0
    #: MB.
    memory_mb: int = 0
    #: MB.
    disk_mb: int = 0
    #: ports that no task gets, written `22,80-90`.
    ports: tuple[int, ...] = ()
    #: cores, written `0,2-3`; their share of MHz is kept too.
    cores: tuple[int, ...] = ()


class HostVolume(Settings, frozen=True, kw_only=True):
    """A directory of the node that jobs may ask for by name."""

    #: absolute path; it must be there when the agent starts.
    path: str
    #: no task may write to it.
    read_only: bool = False


class HostNetwork(Settings, frozen=True, kw_only=True):
    """Addresses of the node under a name that ports of jobs may ask for."""

    #: addresses in this range; empty: any.
    cidr: str = ""
    #: addresses of this interface; empty: any.
    interface: str = ""
    #: never given to jobs.
    reserved_ports: tuple[int, ...] = ()


class ClientSettings(Settings, frozen=True, kw_only=True):
    """The node: where tasks run."""

    #: whether this agent runs tasks. -dev: yes.
    enabled: bool = False
    #: RPC addresses (`host:port`) of servers. Empty: the server in this very agent.
    servers: tuple[str, ...] = ()
    #: free text by which jobs choose nodes: `${meta.rack}`.
    meta: dict[str, str] = {}
    #: one word by which jobs choose nodes: `${node.class}`.
    node_class: str = ""
    #: pool of nodes that this one belongs to; not `all`, which means every pool.
    node_pool: str = "default"
    reserved: Reserved = Reserved()
    #: name -> directory.
    host_volumes: dict[str, HostVolume] = {}
    #: name -> addresses.
    host_networks: dict[str, HostNetwork] = {}
    #: how often space is looked at.
    gc_interval_s: float = 60.0
    #: percent of the disk in use above which dead allocations are removed. -dev: 99.
    gc_disk_usage_threshold: float = 80.0
    #: percent of the inodes in use above which dead allocations are removed. -dev: 99.
    gc_inode_usage_threshold: float = 70.0
    #: allocations kept, dead ones included, before dead ones are removed.
    gc_max_allocs: int = 50
    #: allocations removed at the same time.
    gc_parallel_destroys: int = 2
    #: first port for tasks that ask for any.
    min_dynamic_port: int = 20000
    #: last one.
    max_dynamic_port: int = 32000
    #: a task's kill_timeout is cut to this.
    max_kill_timeout_s: float = 30.0
    #: MHz of the whole machine; 0: found out.
    cpu_total_compute: int = 0
    #: MB of the whole machine; 0: found out.
    memory_total_mb: int = 0
    #: MB for allocations; 0: found out.
    disk_total_mb: int = 0
    #: interface whose address tasks are given; empty: that of the default route.
    network_interface: str = ""
    #: directories of allocations. Default: `alloc` in data_dir.
    alloc_dir: str = ""
    #: the node's own state. Default: `client` in data_dir.
    state_dir: str = ""


class AgentConfig(Settings, frozen=True, kw_only=True):
    """Everything that an agent is told."""

    #: one process that is server and node, keeps nothing, stops its tasks at the end.
    dev: bool = False
    #: absolute directory of everything that lasts; empty only with -dev: a temporary one is made.
    data_dir: str = ""
    #: address to listen on; only loopback until traffic is encrypted.
    bind_addr: str = "127.0.0.1"
    ports: Ports = Ports()
    #: name of the node and server. Default: the host's name.
    name: str = ""
    #: region: servers of one region choose a leader together.
    region: str = "global"
    #: datacenter of this node; jobs choose by it.
    datacenter: str = "dc1"
    log: LogSettings = LogSettings()
    server: ServerSettings = ServerSettings()
    client: ClientSettings = ClientSettings()
    #: plugin name -> its `config` block, checked by the plugin.
    plugins: dict[str, dict[str, Any]] = {}
    #: what the user should know, though the agent starts.
    warnings: tuple[str, ...] = ()
