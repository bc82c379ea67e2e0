"""Real agents as processes, and the commands a person would type against them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
#: everything an agent has to do here takes seconds; a loaded machine may take longer.
LIMIT_S = 40.0


def wait_for(
    what: str, condition: Callable[[], Any], limit_s: float = LIMIT_S, detail: Callable[[], str] | None = None
) -> Any:
    """The condition's first true value. Level-triggered and bounded."""
    until = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            more = f"\n{detail()}" if detail is not None else ""
            raise AssertionError(f"waited {limit_s:g} s for {what}{more}")
        time.sleep(0.05)


class Agent:
    """One agent on a directory. `start` may be called again after `kill` or `stop`."""

    def __init__(self, directory: Path, config: str = "", *, dev: bool = True) -> None:
        self.directory = directory
        self.dev = dev
        self.data_dir = directory / "data"
        self.socket = self.data_dir / "agent.sock"
        self.log = directory / "agent.log"
        self.config = directory / "agent.hcl"
        self.process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        self.config.write_text(f'data_dir = "{self.data_dir}"\nports {{\n  rpc = 0\n}}\n{config}\n')

    # ---- life ----

    def start(self, *, wait: bool = True) -> Agent:
        """Start the process; with `wait` until its node is ready."""
        arguments = [sys.executable, "-m", "daemon.cli.main", "agent", "-config", str(self.config)]
        if self.dev:
            arguments.append("-dev")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                arguments, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=self.directory,
                env=environment(), start_new_session=True,
            )  # fmt: skip
        if wait:
            wait_for("the agent's node to be ready", self.node_ready, detail=self.tail)
        return self

    def node_ready(self) -> bool:
        """True once this agent's own node is ready."""
        assert self.process is not None
        assert self.process.poll() is None, f"the agent ended with {self.process.returncode}\n{self.tail()}"
        if not self.socket.exists():
            return False
        done = self.run("node", "status", "-json", check=False)
        return done.returncode == 0 and any(node["Status"] == "ready" for node in json.loads(done.stdout))

    def stop(self, limit_s: float = LIMIT_S) -> int:
        """SIGTERM, and the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the agent did not end within {limit_s:g} s\n{self.tail()}") from None

    def kill(self) -> None:
        """SIGKILL to the agent's process alone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def clean_up(self) -> None:
        """Whatever happened: end the agent and all that it has started, and say what had been left."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for process in self.relatives():
            # an evaluation worker, say, ends with its agent: it may be gone between the look and the kill
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        for mount in self.mounts():
            subprocess.run(["umount", "-l", mount], check=False)

    def mounts(self) -> list[str]:
        """Mount points under this agent's directory, innermost first."""
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return sorted((line.split()[4] for line in lines if str(self.directory) in line), reverse=True)

    def relatives(self) -> list[psutil.Process]:
        """Processes that belong to this agent's directory: supervisor, workers, tasks."""
        found = []
        marker = str(self.directory)
        for process in psutil.process_iter(["pid", "cmdline"]):
            if process.pid == os.getpid():
                continue
            try:
                words = process.info["cmdline"] or []
                directory = process.cwd()
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            if any(marker in word for word in words) or directory.startswith(marker):
                found.append(process)
        return found

    def tail(self) -> str:
        """The end of the agent's log."""
        return self.log.read_text(errors="replace")[-6000:] if self.log.exists() else "(no log)"

    # ---- commands ----

    def run(
        self, *arguments: str, check: bool = True, stdin: str | None = None, limit_s: float = LIMIT_S
    ) -> subprocess.CompletedProcess[str]:
        """Run a command against this agent."""
        done = subprocess.run(
            [sys.executable, "-m", "daemon.cli.main", *arguments],
            env={**environment(), "ENCAMP_ADDR": f"ipc://{self.socket}"},
            cwd=self.directory, capture_output=True, text=True, input=stdin, timeout=limit_s, check=False,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise AssertionError(
                f"encamp {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.tail()}"
            )
        return done

    def json(self, *arguments: str) -> Any:
        """JSON output of a command."""
        return json.loads(self.run(*arguments).stdout)

    def job(self, text: str, name: str = "job.hcl") -> str:
        """Write a job file; returns its path."""
        path = self.directory / name
        path.write_text(text)
        return str(path)

    def allocs(self, job: str) -> list[dict[str, Any]]:
        """Allocations of a job, newest first."""
        return list(self.json("job", "status", "-json", job)["Allocations"])

    def running(self, job: str) -> list[dict[str, Any]]:
        """Those that run and shall run."""
        return [a for a in self.allocs(job) if a["ClientStatus"] == "running" and a["DesiredStatus"] == "run"]


def environment() -> dict[str, str]:
    """The test's environment without other agents' addresses; the sources are on the path."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ENCAMP_", "NOMAD_"))}
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH", "")]))
    return kept


def port_of(alloc: dict[str, Any], label: str = "") -> int:
    """A port that an allocation holds."""
    ports = alloc["AllocatedResources"]["Shared"]["Ports"]
    return int(next(port["Value"] for port in ports if label in ("", port["Label"])))
