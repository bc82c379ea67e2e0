"""`python -m gossip`: run a member by hand, make a key, or print the state machine.

    python -m gossip run --name a --bind 127.0.0.1:7946
    python -m gossip run --name b --bind 127.0.0.1:7947 --join 127.0.0.1:7946
    python -m gossip keygen
    python -m gossip states

A running member prints what changes; Ctrl-C or SIGTERM makes it leave.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import logging
import os
import signal
import sys

from gossip import Config, Event, Gossip, GossipError
from gossip.config import PRESETS
from gossip.core.states import picture
from gossip.shell.feeds import Feed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gossip", description="Run a member of a gossip cluster by hand."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="be a member: join, print what changes, leave on Ctrl-C")
    run.add_argument("--name", required=True, help="this member's name, unique in the cluster")
    run.add_argument(
        "--bind", default="0.0.0.0:7946", help="IP address and port, UDP and TCP (port 0: a free one)"
    )
    run.add_argument("--advertise", default="", help="IP address that others are told")
    run.add_argument(
        "--join", action="append", default=[], metavar="HOST:PORT", help="a member to join through"
    )
    run.add_argument(
        "--tag", action="append", default=[], metavar="KEY=VALUE", help="a fact told to everybody"
    )
    run.add_argument("--label", default="", help="the cluster's id")
    run.add_argument(
        "--member-id", default="", help="lasting identity: may come back under another address at once"
    )
    run.add_argument("--key", default="", help="base64 key from `keygen`; better: --key-file")
    run.add_argument("--key-file", default="", help="file that keeps the keys")
    run.add_argument("--snapshot", default="", help="file to find the cluster again after a restart")
    run.add_argument("--preset", choices=sorted(PRESETS), default="lan", help="timings")
    run.add_argument("--json", action="store_true", help="one JSON object a line")
    commands.add_parser("keygen", help="print a new key")
    commands.add_parser("states", help="print the state machine as a Mermaid diagram")
    return parser


def _config(options: argparse.Namespace) -> Config:
    host, _, port = options.bind.rpartition(":")
    tags = dict(tag.partition("=")[::2] for tag in options.tag)
    return Config(
        name=options.name,
        host=host.strip("[]"),
        port=int(port),
        advertise_host=options.advertise,
        label=options.label,
        member_id=options.member_id,
        tags=tags,
        keys=(base64.b64decode(options.key, validate=True),) if options.key else (),
        keyring_path=options.key_file,
        snapshot_path=options.snapshot,
        timing=PRESETS[options.preset],
    )


def _show(as_json: bool, kind: str, name: str, text: str) -> None:
    line = (
        json.dumps({"event": kind, "member": name, "text": text})
        if as_json
        else f"{kind:<8} {name:<20} {text}"
    )
    print(line, flush=True)


def _show_event(as_json: bool, event: Event) -> None:
    if event.member is not None:
        member = event.member
        tags = " ".join(f"{key}={value}" for key, value in member.tags.items())
        _show(
            as_json,
            event.kind.value,
            member.name,
            f"{member.host}:{member.port} {member.status.value} {tags}".strip(),
        )
    elif event.user is not None:
        _show(as_json, "user", event.user.name, event.user.payload.decode(errors="replace"))
    else:
        _show(as_json, event.kind.value, "", "too slow a reader; some events were dropped")


async def _run(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with Gossip(_config(options)) as member:
        events = member.events()
        host, port = member.address
        _show(options.json, "listening", options.name, f"{host}:{port}")
        if options.join:
            member.stay_joined(options.join)
        reader = loop.create_task(_watch(options.json, events))
        try:
            await stop.wait()
            await member.leave()
            await reader
        finally:
            reader.cancel()
            await asyncio.wait([reader])
    _show(options.json, "stopped", options.name, "")


async def _watch(as_json: bool, events: Feed) -> None:
    async for event in events:
        _show_event(as_json, event)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 on success, 1 with a reason on standard error otherwise."""
    options = _parser().parse_args(arguments)
    if options.command == "keygen":
        print(base64.b64encode(os.urandom(32)).decode())
        return 0
    if options.command == "states":
        print(picture())
        return 0
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(message)s")
    try:
        asyncio.run(_run(options))
    except (GossipError, OSError, ValueError) as error:
        print(f"gossip: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
