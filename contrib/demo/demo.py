"""The first five minutes: a development agent, a real job, its answer and its log; then everything is gone again.

Runs the same commands that a person would type, and shows them. Exits 1 if anything is not as it should be.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ENCAMP = str(Path(sys.executable).parent / "encamp")
BOLD, PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")


class Demo:
    """One agent in a temporary directory, and commands that speak to it."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="encamp-demo-"))
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.environment = {**os.environ, "ENCAMP_ADDR": f"tcp://127.0.0.1:{self.port}"}
        self.agent: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start `encamp agent -dev` and wait until it answers."""
        config = self.directory / "agent.hcl"
        config.write_text(f'data_dir = "{self.directory}/data"\nports {{ rpc = {self.port} }}\n')
        show(f"encamp agent -dev -config {config}")
        log = (self.directory / "agent.log").open("wb")
        self.agent = subprocess.Popen(
            [ENCAMP, "agent", "-dev", "-config", str(config)], stdout=log, stderr=subprocess.STDOUT
        )
        log.close()
        self.wait("the agent and its node to be ready", self.ready, 30)

    def ready(self) -> bool:
        """True once a node is ready to run tasks."""
        if self.agent is not None and self.agent.poll() is not None:
            raise SystemExit(f"the agent ended: {(self.directory / 'agent.log').read_text()}")
        nodes = self.read("node", "status", "-json")
        return any(node["Status"] == "ready" for node in nodes or [])

    def run(self, *arguments: str) -> None:
        """Run a command and show it with its output. Raises SystemExit when it fails."""
        show(f"encamp {' '.join(arguments)}")
        done = subprocess.run([ENCAMP, *arguments], env=self.environment, check=False)
        if done.returncode != 0:
            print((self.directory / "agent.log").read_text()[-4000:])
            raise SystemExit(f"`encamp {' '.join(arguments)}` ended with {done.returncode}")

    def read(self, *arguments: str) -> Any:
        """JSON output of a command; None while it fails."""
        done = subprocess.run([ENCAMP, *arguments], env=self.environment, check=False, capture_output=True)
        return json.loads(done.stdout) if done.returncode == 0 and done.stdout.strip() else None

    def wait(self, what: str, condition: object, seconds: float) -> None:
        """Wait for a condition, saying what for."""
        until = time.monotonic() + seconds
        while not condition():  # type: ignore[operator]
            if time.monotonic() > until:
                print((self.directory / "agent.log").read_text()[-4000:])
                raise SystemExit(f"waited {seconds:.0f} s for {what}")
            time.sleep(0.1)

    def port_of(self, job: str) -> int:
        """The dynamic port of the job's running allocation."""
        allocs = (self.read("job", "status", "-json", job) or {}).get("Allocations", [])
        running = [a for a in allocs if a["ClientStatus"] == "running" and a["DesiredStatus"] == "run"]
        return int(running[0]["AllocatedResources"]["Shared"]["Ports"][0]["Value"])

    def close(self) -> None:
        """Stop the agent (and with `-dev` its tasks) and remove its directory."""
        if self.agent is not None and self.agent.poll() is None:
            self.agent.send_signal(signal.SIGTERM)
            try:
                self.agent.wait(30)
            except subprocess.TimeoutExpired:
                self.agent.kill()
                self.agent.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def show(line: str) -> None:
    """Print what a person would type."""
    print(f"\n{BOLD}$ {line}{PLAIN}", flush=True)


def web(demo: Demo) -> None:
    """The raw_exec service."""
    demo.run("job", "run", str(HERE / "web.nomad.hcl"))
    demo.run("job", "status", "hello")
    port = demo.port_of("hello")
    show(f"curl http://127.0.0.1:{port}/")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
        print(f"HTTP {answer.status}, {len(answer.read())} bytes")
    demo.wait("the request to be logged", lambda: b"GET /" in log_of(demo), 10)
    demo.run("job", "logs", "-stderr", "hello")
    demo.run("job", "stop", "-yes", "hello")
    demo.wait("the port to be closed", lambda: not answers(port), 20)


def log_of(demo: Demo) -> bytes:
    """What the service wrote so far."""
    command = [ENCAMP, "job", "logs", "-stderr", "hello"]
    return subprocess.run(command, env=demo.environment, check=False, capture_output=True).stdout


def answers(port: int) -> bool:
    """True when somebody listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def redis(demo: Demo) -> None:
    """The docker service, where an engine answers and the image is there or can be pulled."""
    docker = shutil.which("docker")
    reason = ""
    if docker is None or subprocess.run([docker, "info"], capture_output=True, check=False).returncode != 0:
        reason = "no Docker engine answers here"
    elif subprocess.run(
        [docker, "image", "inspect", "redis:3.2"], capture_output=True, check=False
    ).returncode:
        pulled = subprocess.run(
            [docker, "pull", "-q", "redis:3.2"], capture_output=True, check=False, timeout=120
        )
        reason = "" if pulled.returncode == 0 else "the image redis:3.2 is not here and cannot be pulled"
    if reason:
        print(f"\n(the redis job is left out: {reason})")
        return
    demo.run("job", "run", str(HERE / "redis.nomad.hcl"))
    port = demo.port_of("cache")
    show(f"redis-cli -p {port} PING")
    demo.wait("redis to answer", lambda: ping(port) == b"+PONG\r\n", 20)
    print("PONG")
    demo.run("job", "stop", "-yes", "cache")
    demo.wait("the port to be closed", lambda: not answers(port), 20)


def ping(port: int) -> bytes:
    """Redis' answer to PING."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64)
    except OSError:
        return b""


def main() -> None:
    """Run the demo and clean up whatever happens."""
    demo = Demo()
    try:
        demo.start()
        demo.run("node", "status")
        web(demo)
        redis(demo)
        demo.run("job", "status")
        print(f"\n{BOLD}That is all: a job file became a running, supervised, explained task.{PLAIN}")
        print(
            "Next: docs/manual/getting-started.md, or `.venv/bin/encamp agent -dev` and a job file of your own."
        )
    finally:
        demo.close()


if __name__ == "__main__":
    main()
