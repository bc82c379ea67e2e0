"""Why an agent may not start with a configuration. Looks at no file and no machine.

Source: spec/nomad-surface.md D, "Start refusals".
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any

from daemon.config.merge import Layers
from daemon.config.settings import AgentConfig, ClientSettings, HostNetwork, ServerSettings
from daemon.jobspec.diagnostics import Diagnostic, error, nearest

#: problems of a plugin's settings as (path, message).
PluginCheck = Callable[[str, dict[str, Any]], list[tuple[str, str]]]

_LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "OFF")
_WORD = re.compile(r"[A-Za-z0-9_-]+")
_POOL = re.compile(r"[A-Za-z0-9_-]{1,128}")


class _Judge:
    """Collects errors at the places of the layers."""

    def __init__(self, layers: Layers) -> None:
        self.layers = layers
        self.found: list[Diagnostic] = []

    def need(self, holds: bool, path: str, message: str, advice: str = "") -> None:
        """An error unless the condition holds."""
        if not holds:
            self.found.append(error(message, self.layers.place(*path.split(".")), suggestion=advice))


def check_config(config: AgentConfig, layers: Layers, check_plugin: PluginCheck | None) -> list[Diagnostic]:
    """All reasons not to start."""
    judge = _Judge(layers)
    need = judge.need
    enabled = config.server.enabled or config.client.enabled
    advice = "use -dev, or server { enabled = true } and client { enabled = true }"
    need(
        enabled, "server.enabled", "neither server nor client is enabled: this agent would do nothing", advice
    )
    for key in ("region", "datacenter"):
        value = getattr(config, key)
        message = f'{key} "{value}" may hold letters, digits, - and _ only'
        need(bool(_WORD.fullmatch(value)), key, message)
    blank = any(char.isspace() or not char.isprintable() for char in config.name)
    need(bool(config.name) and not blank, "name", f"name {config.name!r} may hold no white space")
    _check_paths(config, need)
    _check_bind(config.bind_addr, need)
    _check_ports(config, need)
    _check_log(config, need)
    _check_server(config.server, layers, need)
    _check_client(config.client, need)
    if config.client.enabled and not config.server.enabled:
        message = "a node without a server in the same agent needs to know its servers"
        need(
            bool(config.client.servers), "client.enabled", message, 'client { servers = ["127.0.0.1:4647"] }'
        )
    if check_plugin is not None:
        for name, settings in config.plugins.items():
            for path, message in check_plugin(name, settings):
                where = path.split(".")[0].split("[")[0]
                place = layers.place("plugin", name, "config", where) or layers.place(
                    "plugin", name, "is_set"
                )
                inside = f" {path}" if path else ""
                judge.found.append(error(f'plugin "{name}"{inside}: {message}', place))
    return judge.found


Need = Callable[..., None]


def _check_paths(config: AgentConfig, need: Need) -> None:
    if not config.dev:
        message = "data_dir is missing: an agent that is not -dev keeps its state there"
        need(bool(config.data_dir), "data_dir", message, 'data_dir = "/var/lib/encamp"')
    paths = (
        ("data_dir", config.data_dir),
        ("client.alloc_dir", config.client.alloc_dir),
        ("client.state_dir", config.client.state_dir),
    )
    for key, value in paths:
        name = key.rsplit(".", maxsplit=1)[-1]
        need(not value or value.startswith("/"), key, f'{name} "{value}" is not an absolute path')


def _check_bind(address: str, need: Need) -> None:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        message = f'bind_addr "{address}" is not an IP address'
        need(False, "bind_addr", message, 'templates and names are not read; write e.g. "127.0.0.1"')
        return
    message = (
        f"bind_addr {address} is not loopback: traffic is not encrypted in this version, so an agent listens"
        " on this machine only"
    )
    need(parsed.is_loopback, "bind_addr", message, 'bind_addr = "127.0.0.1"')


def _check_ports(config: AgentConfig, need: Need) -> None:
    seen: dict[int, str] = {}
    for name in ("http", "rpc", "serf", "raft"):
        value = getattr(config.ports, name)
        need(0 <= value <= 65535, f"ports.{name}", f"a port lies from 1 to 65535, not {value}")
        if value:
            other = seen.get(value, "")
            need(not other, f"ports.{name}", f"port {value} is used for {other} and {name}")
            seen[value] = name


def _check_log(config: AgentConfig, need: Need) -> None:
    log = config.log
    advice = nearest(log.level, _LEVELS) or f"levels: {' '.join(_LEVELS)}"
    need(log.level in _LEVELS, "log_level", f'there is no log level "{log.level}"', advice)
    need(log.format in ("text", "json"), "log_format", f'log_format is "text" or "json", not "{log.format}"')
    need(log.rotate_bytes >= 0, "log_rotate_bytes", "log_rotate_bytes cannot be negative")
    need(log.rotate_duration_s > 0, "log_rotate_duration", "log_rotate_duration is more than 0")
    need(log.rotate_max_files >= 0, "log_rotate_max_files", "log_rotate_max_files cannot be negative")


def _check_server(server: ServerSettings, layers: Layers, need: Need) -> None:
    said = layers.get("server", "bootstrap_expect")
    if said is not None and said != 0:
        need(
            server.enabled, "server.bootstrap_expect", "bootstrap_expect is set, but this agent is no server"
        )
    message = f"bootstrap_expect = {server.bootstrap_expect}: this version runs one server"
    need(server.bootstrap_expect == 1, "server.bootstrap_expect", message, "bootstrap_expect = 1")
    need(1 <= server.num_schedulers <= 512, "server.num_schedulers", "num_schedulers lies from 1 to 512")
    for key in (
        "job_gc_interval",
        "job_gc_threshold",
        "eval_gc_threshold",
        "batch_eval_gc_threshold",
        "deployment_gc_threshold",
        "node_gc_threshold",
    ):
        need(getattr(server, f"{key}_s") > 0, f"server.{key}", f"{key} is more than 0")


def _check_client(client: ClientSettings, need: Need) -> None:
    need(client.node_pool != "all", "client.node_pool", 'node_pool cannot be "all": that means every pool')
    message = f'node_pool "{client.node_pool}" may hold letters, digits, - and _ only'
    need(bool(_POOL.fullmatch(client.node_pool)), "client.node_pool", message)
    low, high = client.min_dynamic_port, client.max_dynamic_port
    need(1 <= low <= 65535, "client.min_dynamic_port", f"a port lies from 1 to 65535, not {low}")
    need(1 <= high <= 65535, "client.max_dynamic_port", f"a port lies from 1 to 65535, not {high}")
    message = f"min_dynamic_port ({low}) is not more than max_dynamic_port ({high})"
    need(low <= high, "client.min_dynamic_port", message)
    for key in ("gc_disk_usage_threshold", "gc_inode_usage_threshold"):
        value = getattr(client, key)
        need(0 < value <= 100, f"client.{key}", f"{key} is a percentage, not {value}")
    need(client.gc_interval_s > 0, "client.gc_interval", "gc_interval is more than 0")
    need(client.gc_max_allocs >= 1, "client.gc_max_allocs", "gc_max_allocs is at least 1")
    need(
        client.gc_parallel_destroys >= 1, "client.gc_parallel_destroys", "gc_parallel_destroys is at least 1"
    )
    need(client.max_kill_timeout_s >= 0, "client.max_kill_timeout", "max_kill_timeout cannot be negative")
    for key in ("cpu_total_compute", "memory_total_mb", "disk_total_mb"):
        need(getattr(client, key) >= 0, f"client.{key}", f"{key} cannot be negative")
    for key, value in (
        ("cpu", client.reserved.cpu),
        ("memory", client.reserved.memory_mb),
        ("disk", client.reserved.disk_mb),
    ):
        need(value >= 0, f"client.reserved.{key}", f"reserved {key} cannot be negative")
    for name, volume in client.host_volumes.items():
        where = f"client.host_volume.{name}.path"
        need(bool(volume.path), where, f'host_volume "{name}" needs a path')
        need(
            not volume.path or volume.path.startswith("/"), where, f'"{volume.path}" is not an absolute path'
        )
    for name, network in client.host_networks.items():
        _check_host_network(name, network, need)
    for address in client.servers:
        host, _, port = address.rpartition(":")
        good = bool(host or port) and (not host or (port.isdigit() and 0 < int(port) < 65536))
        need(good, "client.servers", f'"{address}" is not an address such as 127.0.0.1:4647')


def _check_host_network(name: str, network: HostNetwork, need: Need) -> None:
    where = f"client.host_network.{name}"
    own = 'the host network "default" is the node\'s own address; choose another name'
    need(name != "default", f"{where}.is_set", own)
    given = bool(network.cidr or network.interface)
    need(
        given, f"{where}.is_set", f'host_network "{name}" needs a cidr or an interface', 'cidr = "10.0.0.0/8"'
    )
    try:
        ipaddress.ip_network(network.cidr or "::/0", strict=False)
    except ValueError:
        need(False, f"{where}.cidr", f'"{network.cidr}" is not a range of addresses', 'cidr = "10.0.0.0/8"')


def check_plugins(name: str, settings: dict[str, Any]) -> list[tuple[str, str]]:
    """The plugin's own check of its settings; a plugin that is not installed is an error."""
    from daemon.jobspec.driverconfig import check_plugin_config

    return check_plugin_config(name, settings)
