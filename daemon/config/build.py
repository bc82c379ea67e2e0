"""`AgentConfig` from layers. Reads the host's name and core count, nothing else.

Theory: a key that was not said keeps the struct's default; a duration key `x` fills `x_s`. Flags come with
Python values of whatever type, so they are converted by the same tables as files.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from daemon.config.merge import Layers, Path
from daemon.config.ranges import parse_ranges
from daemon.config.settings import (
    AgentConfig,
    ClientSettings,
    HostNetwork,
    HostVolume,
    LogSettings,
    Ports,
    Reserved,
    ServerSettings,
)
from daemon.config.tables import AGENT, CLIENT, PORTS, SERVER
from daemon.jobspec.body import wrap
from daemon.jobspec.diagnostics import Diagnostic, error, nearest
from daemon.jobspec.schema.tables import BlockDef
from daemon.jobspec.schema.values import convert
from daemon.jobspec.source import Source
from daemon.model.base import NS_PER_S

_LOG = {
    "log_level": "level",
    "log_format": "format",
    "log_file": "file",
    "log_rotate_bytes": "rotate_bytes",
    "log_rotate_duration": "rotate_duration_s",
    "log_rotate_max_files": "rotate_max_files",
}


def build_config(layers: Layers, *, dev: bool) -> tuple[AgentConfig, list[Diagnostic]]:
    """The configuration with defaults filled in, and what is wrong with flags and ranges."""
    found: list[Diagnostic] = []
    _convert_flags(layers, found)
    top = _group(layers, (), AGENT)
    log = {_LOG[key]: value for key, value in top.items() if key in _LOG}
    if top.get("log_json"):
        log.setdefault("format", "json")
    if "rotate_duration_s" in log:
        log["rotate_duration_s"] /= NS_PER_S
    if "level" in log:
        log["level"] = log["level"].upper()
    server = {"num_schedulers": max(1, (os.cpu_count() or 2) - 1), **_group(layers, ("server",), SERVER)}
    kept = {key: top[key] for key in ("data_dir", "bind_addr", "region", "datacenter") if key in top}
    config = AgentConfig(
        dev=dev,
        name=top.get("name") or socket.gethostname(),
        ports=Ports(**_group(layers, ("ports",), PORTS)),
        log=LogSettings(**log),
        server=ServerSettings(**_seconds(server, SERVER)),
        client=_client(layers, found),
        plugins={name: _plugin(layers, name) for name in layers.names("plugin")},
        **kept,
    )
    return config, found


def _group(layers: Layers, path: tuple[str, ...], definition: BlockDef) -> dict[str, Any]:
    result = {}
    for key in definition.keys:
        value = layers.get(*path, key.name)
        if value is not None:
            result[key.name] = value
    return result


def _seconds(values: dict[str, Any], definition: BlockDef) -> dict[str, Any]:
    durations = {key.name for key in definition.keys if key.kind == "duration"}
    return {
        (f"{k}_s" if k in durations else k): (v / NS_PER_S if k in durations else v)
        for k, v in values.items()
    }


def _client(layers: Layers, found: list[Diagnostic]) -> ClientSettings:
    values = _seconds(_group(layers, ("client",), CLIENT), CLIENT)
    meta = {rest[0]: value for rest, value in layers.below("client", "meta") if len(rest) == 1}
    flagged = layers.get("client", "meta")
    if isinstance(flagged, dict):
        meta.update({str(key): str(value) for key, value in flagged.items()})
    volumes = {}
    for name in layers.names("client", "host_volume"):
        path = ("client", "host_volume", name)
        volumes[name] = HostVolume(
            path=layers.get(*path, "path") or "", read_only=bool(layers.get(*path, "read_only"))
        )
    return ClientSettings(
        **values,
        meta=meta,
        host_volumes=volumes,
        host_networks=_host_networks(layers, found),
        reserved=_reserved(layers, found),
    )


def _host_networks(layers: Layers, found: list[Diagnostic]) -> dict[str, HostNetwork]:
    networks = {}
    for name in layers.names("client", "host_network"):
        path = ("client", "host_network", name)
        networks[name] = HostNetwork(
            cidr=layers.get(*path, "cidr") or "",
            interface=layers.get(*path, "interface") or "",
            reserved_ports=_numbers(layers, (*path, "reserved_ports"), (1, 65535), found),
        )
    return networks


def _numbers(layers: Layers, path: Path, limits: tuple[int, int], found: list[Diagnostic]) -> tuple[int, ...]:
    try:
        return parse_ranges(layers.get(*path) or "", *limits)
    except ValueError as failure:
        found.append(error(f'"{path[-1]}": {failure}', layers.place(*path)))
        return ()


def _reserved(layers: Layers, found: list[Diagnostic]) -> Reserved:
    def get(key: str) -> Any:
        return layers.get("client", "reserved", key)

    def numbers(key: str, low: int, high: int) -> tuple[int, ...]:
        return _numbers(layers, ("client", "reserved", key), (low, high), found)

    return Reserved(
        cpu=get("cpu") or 0,
        memory_mb=get("memory") or 0,
        disk_mb=get("disk") or 0,
        ports=numbers("reserved_ports", 1, 65535),
        cores=numbers("cores", 0, 4095),
    )


def _plugin(layers: Layers, name: str) -> dict[str, Any]:
    return {rest[0]: value for rest, value in layers.below("plugin", name, "config")}


def _convert_flags(layers: Layers, found: list[Diagnostic]) -> None:
    """Bring flags to the types of their keys; an unknown flag is the caller's mistake, and said."""
    for path, value in list(layers.values.items()):
        place = layers.places.get(path)
        if place is None or not place.source.name.startswith("flag ") or path[0] == "plugin":
            continue
        definition = {"ports": PORTS, "server": SERVER, "client": CLIENT}.get(path[0], AGENT)
        key = definition.key(path[-1]) if len(path) <= 2 else None
        if path[:2] == ("client", "meta"):
            continue
        if key is None:
            advice = nearest(path[-1], [each.name for each in definition.keys])
            found.append(error(f'there is no setting "{".".join(path)}"', place, suggestion=advice))
            del layers.values[path]
            continue
        try:
            layers.values[path] = convert(key.kind, wrap(value, Source("", "").whole()))
        except ValueError as failure:
            found.append(error(f'"{".".join(path)}": {failure}', place))
            del layers.values[path]
