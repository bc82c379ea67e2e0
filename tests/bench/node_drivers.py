"""node_drivers: exec and docker tasks started a second on one node, each beside a bare loop on the same runtime.

The loops start the same program one after the other: `runc run --detach` with a minimal bundle, and create and start
over the engine's socket. They prepare no directories, rotate no logs and tell nobody. Needs root; docker needs an
engine, or one that can be started.

Source: design/performance.md "node".
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.report import Figure
from tests.e2e.conftest import BOTH_ROLES
from tests.e2e.harness import Agent, wait_for
from tests.e2e.jobs import service
from tests.engine import api, running_endpoint, shared_engine, why_no_engine
from tests.images import busybox_tar

TASKS = 100
IMAGE = "busybox:1"


def run(scale: float) -> list[Figure]:
    """Measure what this machine can run, and say what it cannot."""
    count = max(2, round(TASKS * scale))
    figures = []
    if os.geteuid() == 0 and shutil.which("runc"):
        with _agent("") as agent:
            figures.append(_figure("exec", agent, count, _runc_loop(count), "`runc run --detach`"))
    else:
        print("exec: not measured, it needs root and runc")
    if running_endpoint() or not why_no_engine():
        with shared_engine() as endpoint:
            plugin = f'plugin "docker" {{\n  config {{\n    endpoint = "{endpoint}"\n  }}\n}}\n'
            with _agent(plugin) as agent:
                bare = _docker_loop(endpoint, count)
                figures.append(
                    _figure("docker", agent, count, bare, "create and start over the engine's socket")
                )
    else:
        print(f"docker: not measured: {why_no_engine()}")
    return figures


@contextmanager
def _agent(config: str) -> Iterator[Agent]:
    with tempfile.TemporaryDirectory(prefix="encamp-bench-") as directory:
        agent = Agent(Path(directory) / "agent", BOTH_ROLES + config, dev=False)
        try:
            yield agent.start()
        finally:
            agent.clean_up()


def _figure(driver: str, agent: Agent, count: int, bare_s: float, loop: str) -> Figure:
    seconds = _starts(agent, driver, count)
    return Figure(
        name=f"node.{driver}",
        value=count / seconds,
        unit="starts/s",
        better="higher",
        includes=f"{count} {driver} tasks: registration, placement, directories, start, states reported",
        leaves_out=f"pulling of images; beside it a bare loop: {loop}, one after the other",
        phases={"bare loop (1/s)": count / bare_s, "of the bare loop (%)": 100 * bare_s / seconds},
    )


def _starts(agent: Agent, driver: str, count: int) -> float:
    """Seconds from the job's registration until all tasks are reported running."""
    disk = "ephemeral_disk {\n  size = 10\n}"
    job = service("bench", type_="batch", driver=driver, count=count, memory=10, group=disk,
                  command="/bin/sleep", args='["600"]')  # fmt: skip
    if driver == "docker":
        job = job.replace('command = "/bin/sleep"', f'image = "{IMAGE}"\n        command = "/bin/sleep"')
    job = job.replace("cpu    = 20", "cpu    = 1").replace("max_file_size = 5", "max_file_size = 1")
    start = time.monotonic()
    agent.run("job", "run", "-detach", agent.job(job))

    def running() -> bool:
        summary = agent.json("job", "status", "-json", "bench")["Summary"]
        return sum(group["Running"] for group in summary.values()) >= count

    wait_for("all tasks to run", running, 300, agent.tail)
    seconds = time.monotonic() - start
    agent.run("job", "stop", "-yes", "-purge", "bench", limit_s=300)
    return seconds


def _runc_loop(count: int) -> float:
    with tempfile.TemporaryDirectory(prefix="encamp-bench-") as directory:
        subprocess.run(["runc", "spec"], cwd=directory, check=True)
        config = Path(directory) / "config.json"
        spec = json.loads(config.read_text())
        spec["process"] |= {"terminal": False, "args": ["/bin/sleep", "600"]}
        with tarfile.open(fileobj=io.BytesIO(busybox_tar())) as tree:
            tree.extractall(Path(directory) / "rootfs", filter="tar")
        # the exec driver mounts none either
        spec["mounts"] = [mount for mount in spec["mounts"] if mount["type"] != "cgroup"]
        config.write_text(json.dumps(spec))
        names = [f"encamp-bench-{os.getpid()}-{number}" for number in range(count)]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "cwd": directory}
        try:
            start = time.monotonic()
            for name in names:
                subprocess.run(["runc", "run", "--detach", name], check=True, **quiet)  # type: ignore[call-overload]
            return time.monotonic() - start
        finally:
            for name in names:
                subprocess.run(
                    ["runc", "delete", "--force", name], check=False, cwd=directory, capture_output=True
                )


def _docker_loop(endpoint: str, count: int) -> float:
    client = api(endpoint)
    made: list[str] = []
    try:
        start = time.monotonic()
        for _ in range(count):
            made.append(client.create_container(IMAGE, command=["/bin/sleep", "600"])["Id"])
            client.start(made[-1])
        return time.monotonic() - start
    finally:
        for container in made:
            client.remove_container(container, force=True)
        client.close()
