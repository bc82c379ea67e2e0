"""node: tasks started a second on one node, against a bare loop; memory of agent and supervisor; log throughput.

Source: design/performance.md "node".
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

from tests.bench.report import Figure
from tests.e2e.harness import Agent, wait_for
from tests.e2e.jobs import service

TASKS = 500
LOG_MB = 400


def run(scale: float) -> list[Figure]:
    """Measure on one development agent."""
    with tempfile.TemporaryDirectory(prefix="encamp-bench-") as directory:
        agent = Agent(Path(directory) / "agent", "client {\n  gc_max_allocs = 5000\n}").start()
        try:
            return [*starts(agent, max(1, round(TASKS * scale))), logs(agent, max(4, round(LOG_MB * scale)))]
        finally:
            agent.clean_up()


def starts(agent: Agent, count: int) -> list[Figure]:
    """raw_exec tasks from the job's registration until all are reported running."""
    bare = time.monotonic()
    for _ in range(count):
        subprocess.run(["/bin/true"], check=True)
    bare_s = time.monotonic() - bare
    disk = "ephemeral_disk {\n  size = 10\n}"
    job = service("bench", type_="batch", count=count, memory=10, group=disk).replace(
        "cpu    = 20", "cpu    = 1"
    )
    start = time.monotonic()
    agent.run("job", "run", "-detach", agent.job(job.replace("max_file_size = 5", "max_file_size = 1")))

    def running() -> bool:
        summary = agent.json("job", "status", "-json", "bench")["Summary"]
        return sum(group["Running"] for group in summary.values()) >= count

    wait_for("all tasks to run", running, 600, agent.tail)
    seconds = time.monotonic() - start
    processes = [p for p in agent.relatives() if "sleep" not in " ".join(p.cmdline())]
    phases = {"bare fork+exec+wait (1/s)": count / bare_s}
    for process in processes:
        words = " ".join(process.cmdline())
        for name in ("plugins.supervisor", "evaluation.worker", "cli.main agent"):
            if name in words:
                phases[f"memory {name} (MB)"] = process.memory_info().rss / 1e6
    agent.run("job", "stop", "-yes", "-purge", "bench", limit_s=300)
    return [
        Figure(
            name="node",
            value=count / seconds,
            unit="starts/s",
            better="higher",
            includes=f"{count} raw_exec tasks: registration, placement, directories, cgroups, start, states reported",
            leaves_out="exec and docker tasks; the bare loop beside it starts and waits for /bin/true",
            phases=phases,
        )
    ]


def logs(agent: Agent, megabytes: int) -> Figure:
    """One task that writes as fast as it can."""
    script = f"head -c {megabytes}000000 /dev/zero"
    job = service("talker", type_="batch", args=f'["-c", "{script}"]')
    start = time.monotonic()
    agent.run("job", "run", "-detach", agent.job(job))
    wait_for(
        "the end",
        lambda: any(a["ClientStatus"] == "complete" for a in agent.allocs("talker")),
        300,
        agent.tail,
    )
    [alloc] = agent.allocs("talker")
    state = alloc["TaskStates"]["t"]
    seconds = (state["FinishedAt"] - state["StartedAt"]) / 1e9
    return Figure(
        name="node.logs",
        value=megabytes / seconds,
        unit="MB/s",
        better="higher",
        includes=f"{megabytes} MB from one raw_exec task through its FIFO into rotated files (2 x 5 MB kept)",
        phases={"with start and reports (s)": time.monotonic() - start},
    )
