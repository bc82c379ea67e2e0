"""Addresses of agents: their forms, and how a command finds the agent when none is given. No I/O but stat.

Source: spec/nomad-surface.md "Deliberate differences" (ENCAMP_ADDR; NOMAD_ADDR names an HTTP port and is not used).
"""

from __future__ import annotations

import ipaddress
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from daemon.model.errors import InvalidInput

DEFAULT_PORT = 4647
SOCKET_NAME = "agent.sock"


class Address(msgspec.Struct, frozen=True):
    """`transport` is tcp or ipc; `target` is host:port or a path."""

    transport: str
    target: str

    def __str__(self) -> str:
        """As ZeroMQ wants it."""
        return f"{self.transport}://{self.target}"

    @property
    def host(self) -> str:
        """The host of a TCP address, without brackets."""
        return self.target.rpartition(":")[0].strip("[]")

    def refuse_beyond_loopback(self) -> None:
        """Raises InvalidInput unless only this machine can reach the address."""
        if self.transport == "ipc" or self.host == "localhost":
            return
        try:
            loopback = ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise InvalidInput(
                f"{self} is not a loopback address; this version has no encryption and listens on or speaks to "
                "127.0.0.0/8 and ::1 only: set bind_addr to 127.0.0.1"
            )


def parse_address(text: str) -> Address:
    """Read `tcp://host:port`, `host:port`, `host`, `ipc:///path` or `unix:///path`.

    Raises: InvalidInput naming the forms.
    """
    scheme, separator, rest = text.partition("://")
    if separator and scheme in ("ipc", "unix"):
        if not rest.startswith("/") or len(os.fsencode(rest)) > 107:
            raise InvalidInput(f"{text!r}: a socket path must be absolute and at most 107 bytes long")
        return Address("ipc", rest)
    if separator and scheme != "tcp":
        raise InvalidInput(f"{text!r}: use tcp://HOST:PORT, HOST:PORT or ipc:///PATH")
    target = rest if separator else text
    host, colon, port = target.rpartition(":")
    if not colon or target.endswith("]"):
        host, port = target, str(DEFAULT_PORT)
    if not host or not port.isdigit() or int(port) > 65535:
        raise InvalidInput(f"{text!r}: use tcp://HOST:PORT, HOST:PORT or ipc:///PATH")
    return Address("tcp", f"{host}:{port}")


def default_socket(environment: Mapping[str, str]) -> Path:
    """Where an agent puts its ipc socket: /run/encamp for root, else the user's runtime directory."""
    if os.geteuid() == 0:
        return Path("/run/encamp") / SOCKET_NAME
    base = environment.get("XDG_RUNTIME_DIR") or f"/tmp/encamp-{os.geteuid()}"  # per-user fallback
    return Path(base) / "encamp" / SOCKET_NAME


def candidates(explicit: str | None, environment: Mapping[str, str]) -> Iterator[Address]:
    """Addresses to try, in order: `-address`, ENCAMP_ADDR, the ipc sockets that exist, TCP on loopback."""
    named = explicit or environment.get("ENCAMP_ADDR")
    if named:
        yield parse_address(named)
        return
    paths = [Path("/run/encamp") / SOCKET_NAME]
    if environment.get("XDG_RUNTIME_DIR"):
        paths.append(Path(environment["XDG_RUNTIME_DIR"]) / "encamp" / SOCKET_NAME)
    paths.append(default_socket(environment))
    seen: list[Path] = []
    for path in paths:
        if path not in seen and _usable(path):
            yield Address("ipc", str(path))
        seen.append(path)
    yield Address("tcp", f"127.0.0.1:{DEFAULT_PORT}")


def _usable(path: Path) -> bool:
    """True for a socket of our own (or root's) that we may open."""
    try:
        status = path.stat()
    except OSError:
        return False
    mine = status.st_uid in (os.geteuid(), 0)
    return stat.S_ISSOCK(status.st_mode) and mine and os.access(path, os.R_OK | os.W_OK)
