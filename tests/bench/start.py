"""start: how long until a development agent is ready, and how long `encamp job status` takes as a process.

Source: design/performance.md "start".
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from tests.bench.report import Figure
from tests.e2e.harness import Agent

REPEATS, COMMANDS = 5, 20


def run(scale: float) -> list[Figure]:
    """Start agents one after the other, and ask each for its jobs."""
    ready: list[float] = []
    status: list[float] = []
    for _ in range(max(1, round(REPEATS * scale))):
        with tempfile.TemporaryDirectory(prefix="encamp-bench-") as directory:
            agent = Agent(Path(directory) / "agent")
            try:
                start = time.monotonic()
                agent.start()
                ready.append(time.monotonic() - start)
                for _ in range(max(1, round(COMMANDS * scale))):
                    start = time.monotonic()
                    agent.run("job", "status")
                    status.append(time.monotonic() - start)
            finally:
                agent.clean_up()
    return [
        Figure(
            name="start",
            value=statistics.median(ready) * 1000,
            unit="ms",
            better="lower",
            includes="`agent -dev` as a process until `node status` shows its node ready, that command included",
            repeats=ready,
        ),
        Figure(
            name="start.status",
            value=statistics.median(status) * 1000,
            unit="ms",
            better="lower",
            includes="`encamp job status` as a process, agent on the ipc socket, no jobs",
            repeats=status,
        ),
    ]
