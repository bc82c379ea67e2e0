"""`encamp agent`: flags and files to a configuration, then the agent itself.

This is the one command that runs something instead of asking: it hands over to `daemon.agent`.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.console import Console
from daemon.cli.framework import command, option, settings_of
from daemon.cli.text import Cell, pairs
from daemon.model.errors import InvalidInput

if TYPE_CHECKING:
    from daemon.config.settings import AgentConfig

#: flag -> key of the configuration, for values that are passed on as they are.
KEYS = {
    "bind": "bind_addr",
    "data_dir": "data_dir",
    "name": "name",
    "datacenter": "datacenter",
    "log_level": "log_level",
    "log_json": "log_json",
    "log_file": "log_file",
    "rpc_port": "ports.rpc",
    "server": "server.enabled",
    "bootstrap_expect": "server.bootstrap_expect",
    "client": "client.enabled",
    "node_class": "client.node_class",
    "node_pool": "client.node_pool",
    "network_interface": "client.network_interface",
    "alloc_dir": "client.alloc_dir",
    "state_dir": "client.state_dir",
}


def overrides(region: str, meta: Sequence[str], servers: Sequence[str], **flags: Any) -> dict[str, Any]:
    """What the flags say, by key of the configuration. Pure.

    Raises: InvalidInput.
    """
    said: dict[str, Any] = {
        KEYS[name]: value for name, value in flags.items() if value is not None and value is not False
    }
    if region:
        said["region"] = region
    if servers:
        said["client.servers"] = [
            each.strip() for text in servers for each in text.split(",") if each.strip()
        ]
    for text in meta:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InvalidInput(f"-meta {text!r}: write it as KEY=VALUE")
        said[f"client.meta.{key}"] = value
    return said


@command(
    "agent",
    example="encamp agent -dev\nencamp agent -config /etc/encamp.d\n"
    "encamp agent -client -data-dir /var/lib/encamp -servers 127.0.0.1:4647",
)
@option("-dev", "dev", is_flag=True, help="Server and node in one, for trying out; keeps nothing.")
@option(
    "-config", "config", multiple=True, metavar="FILE|DIR", help="Configuration, HCL or JSON; repeatable."
)
@option("-bind", "bind", metavar="ADDR", help="Address to listen on; 127.0.0.1 unless given.")
@option("-rpc-port", "rpc_port", type=click.IntRange(0, 65535), metavar="PORT", help="Port of the RPC; 4647.")
@option("-data-dir", "data_dir", metavar="DIR", help="Directory of everything that lasts; absolute.")
@option("-node", "name", metavar="NAME", help="Name of this agent; the host's unless given.")
@option("-dc", "datacenter", metavar="NAME", help="Datacenter of this node; dc1 unless given.")
@option("-log-level", "log_level", metavar="LEVEL", help="TRACE, DEBUG, INFO, WARN, ERROR or OFF.")
@option("-log-json", "log_json", is_flag=True, help="Log in JSON.")
@option("-log-file", "log_file", metavar="FILE", help="Log to a file as well.")
@option("-server", "server", is_flag=True, help="Be a server.")
@option("-bootstrap-expect", "bootstrap_expect", type=int, metavar="N", help="Servers to wait for; 1.")
@option("-client", "client", is_flag=True, help="Be a node.")
@option("-servers", "servers", multiple=True, metavar="HOST:PORT,...", help="Servers that this node joins.")
@option("-node-class", "node_class", metavar="CLASS", help="Class of this node.")
@option("-node-pool", "node_pool", metavar="POOL", help="Pool of this node.")
@option("-meta", "meta", multiple=True, metavar="KEY=VALUE", help="A fact about this node; repeatable.")
@option("-network-interface", "network_interface", metavar="NAME", help="Interface whose address tasks get.")
@option("-alloc-dir", "alloc_dir", metavar="DIR", help="Directories of allocations.")
@option("-state-dir", "state_dir", metavar="DIR", help="The node's own state.")
@click.pass_context
def agent(ctx: click.Context, /, dev: bool, config: tuple[str, ...], **flags: Any) -> int:
    """Run an agent until SIGINT or SIGTERM, and exit with 0 then.

    With -dev its tasks are stopped at the end; otherwise they run on, and the next agent takes them back. Flags win
    over files, later files over earlier ones.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        # Until the agent takes over the signals nothing has been started that would have to be stopped.
        signal.signal(number, _leave)
    settings = settings_of(ctx)
    console = Console(settings.color)
    from daemon.config.load import load_config

    said = overrides(settings.region, flags.pop("meta"), flags.pop("servers"), **flags)
    loaded = load_config([Path(each) for each in config], dev=dev, overrides=said)
    for warning in loaded.warnings:
        console.warn(warning)
    console.progress(banner(loaded, config, color=console.color))
    return start(loaded)


def _leave(number: int, frame: object) -> None:
    sys.exit(0)


def start(config: AgentConfig) -> int:
    """Run the agent. Returns its exit code."""
    from daemon.agent import run

    return run(config)


def banner(config: AgentConfig, files: Sequence[str], *, color: bool = False) -> list[str]:
    """What the agent is about to be."""
    from encamp import __version__

    items: list[tuple[str, Cell]] = [
        ("Version", __version__),
        ("Name", config.name),
        ("Region", f"{config.region} (DC: {config.datacenter})"),
        ("Server", str(config.server.enabled).lower()),
        ("Node", str(config.client.enabled).lower()),
        ("RPC", f"{config.bind_addr}:{config.ports.rpc}"),
        ("Data", config.data_dir or "temporary"),
        ("Log Level", config.log.level),
        ("Files", ", ".join(files)),
    ]
    return ["==> encamp agent configuration:", "", *pairs(items, color=color), "", "==> The log follows:", ""]
