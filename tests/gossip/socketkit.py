"""Real members for the socket tests: as objects on one loop, and as processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from gossip import LOCAL, Config, Gossip, Status
from gossip.config import Timing

ROOT = Path(__file__).resolve().parents[2]

FAST: Timing = msgspec.structs.replace(
    LOCAL,
    probing=msgspec.structs.replace(LOCAL.probing, interval_s=0.3, timeout_s=0.12, helpers=2),
    spreading=msgspec.structs.replace(LOCAL.spreading, interval_s=0.05),
    exchange=msgspec.structs.replace(LOCAL.exchange, interval_s=2.0),
    lifecycle=msgspec.structs.replace(LOCAL.lifecycle, reconnect_interval_s=2.0, reclaim_s=1.0),
    suspicion=msgspec.structs.replace(LOCAL.suspicion, mult=4),
)


async def until(holds: Callable[[], bool], within_s: float, what: Callable[[], object] = lambda: "") -> None:
    """Wait, bounded, looking again and again."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what()}"
        await asyncio.sleep(0.02)


def config(number: int, host: str = "", **fields: object) -> Config:
    fields = {"timing": FAST, "label": "test", **fields}
    return Config(name=f"m{number}", host=host or f"127.0.1.{number + 1}", port=0, **fields)  # type: ignore[arg-type]


def living(member: Gossip) -> set[str]:
    return {other.name for other in member.members() if other.status in (Status.ALIVE, Status.SUSPECT)}


def status_of(member: Gossip, name: str) -> Status | None:
    return next((other.status for other in member.members() if other.name == name), None)


def at(member: Gossip) -> str:
    return f"{member.address[0]}:{member.address[1]}"


class Process:
    """`python -m gossip run` in a process; its lines are JSON objects."""

    def __init__(self, *arguments: str, prefix: tuple[str, ...] = ()) -> None:
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "gossip", "run", "--json", *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self.lines: list[dict[str, str]] = []
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._rest = ""

    def read(self) -> list[dict[str, str]]:
        """All lines so far."""
        assert self._process.stdout is not None
        try:
            while chunk := os.read(self._process.stdout.fileno(), 65536):
                self._rest += chunk.decode()
        except BlockingIOError:
            pass  # no more for now
        *whole, self._rest = self._rest.split("\n")
        self.lines += [json.loads(line) for line in whole if line]
        return self.lines

    def has(self, **wanted: str) -> bool:
        """Whether a line has all these fields."""
        return any(all(line.get(key) == value for key, value in wanted.items()) for line in self.read())

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, within_s: float) -> int:
        return self._process.wait(within_s)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
        self._process.wait(5)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
