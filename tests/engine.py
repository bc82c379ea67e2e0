"""A real Docker engine for tests: the one that runs already, else a `dockerd` of our own, shared by all workers.

The own engine lives under a fixed directory in the temporary folder (its images are kept, so the next run starts fast)
and is shared through file locks: each process that uses it holds a shared lock; the last one to leave stops it. An
engine that somebody else runs is used and never stopped.
Fixtures: `docker_engine` (session; busybox and redis images are there), `private_engine` (an engine of the test's own,
without a bridge, which may be killed). Import them into a conftest.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import images

ROOT = Path(tempfile.gettempdir()) / "encamp-test-engine"
START_TIMEOUT_S = 40.0
STOP_TIMEOUT_S = 30.0
#: engines that may outlive this process: held, so that nothing warns about a child left running.
_STARTED: list[subprocess.Popen[bytes]] = []


def answers(endpoint: str) -> bool:
    """True when an engine listens there."""
    import docker

    try:
        client = docker.APIClient(base_url=endpoint, version="auto", timeout=5)
    except docker.errors.DockerException:
        return False
    client.close()
    return True


def running_endpoint() -> str:
    """The endpoint of an engine that is there already: DOCKER_HOST or the usual socket; empty: none."""
    for endpoint in (os.environ.get("DOCKER_HOST", ""), "unix:///var/run/docker.sock"):
        if not endpoint or (endpoint.startswith("unix://") and not os.path.exists(endpoint[7:])):
            continue
        if answers(endpoint):
            return endpoint
    return ""


def why_no_engine() -> str:
    """Why no engine can be started here; empty: it can."""
    if os.geteuid() != 0:
        return "no Docker engine runs, and only root can start one"
    if shutil.which("dockerd") is None:
        return "no Docker engine runs, and dockerd is not installed (Debian: docker.io)"
    return ""


class Dockerd:
    """One `dockerd` with its own directory, socket and containerd."""

    def __init__(self, root: Path, *, bridge: bool = True, options: tuple[str, ...] = ()) -> None:
        self.root = root
        self.socket = root / "engine.sock"
        self.endpoint = f"unix://{self.socket}"
        self.pid_file = root / "engine.pid"
        self.bridge = bridge
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        command = [
            "dockerd",
            f"--host={self.endpoint}",
            f"--data-root={self.root}/data",
            f"--exec-root={self.root}/exec",
            f"--pidfile={self.pid_file}",
            *self.options,
        ]
        if not self.bridge:
            command += ["--bridge=none", "--iptables=false", "--ip6tables=false"]
        log = self.root / "engine.log"
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        _STARTED.append(self.process)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (self.socket.exists() and answers(self.endpoint)):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"dockerd did not start; its log ends:\n{log.read_text()[-3000:]}")
            time.sleep(0.05)

    def pid(self) -> int:
        """The engine's process, also when another process started it; 0: none."""
        if self.process is not None and self.process.poll() is None:
            return self.process.pid
        with contextlib.suppress(OSError, ValueError):
            pid = int(self.pid_file.read_text())
            if b"dockerd" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return 0

    def signal(self, number: int) -> None:
        """Send a signal to the engine's process."""
        pid = self.pid()
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def wait_gone(self, timeout_s: float = STOP_TIMEOUT_S) -> bool:
        """Wait until the process has ended."""
        deadline = time.monotonic() + timeout_s
        while self.pid():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def stop(self) -> None:
        """End it and its containers."""
        self.signal(signal.SIGTERM)
        if not self.wait_gone():
            self.kill()
        if self.process is not None:
            self.process.wait(5)
            self.process = None

    def kill(self) -> None:
        """Kill the engine alone; its containerd and containers go on."""
        self.signal(signal.SIGKILL)
        self.wait_gone()
        if self.process is not None:
            self.process.wait(5)
            self.process = None


def api(endpoint: str) -> Any:
    """A low-level SDK client; the caller closes it."""
    import docker

    return docker.APIClient(base_url=endpoint, version="auto", timeout=60)


def _prepare(endpoint: str) -> None:
    client = api(endpoint)
    try:
        images.ensure_busybox(client)
        if shutil.which("redis-server"):
            images.ensure_redis(client)
    finally:
        client.close()


@contextlib.contextmanager
def shared_engine() -> Iterator[str]:
    """The endpoint of an engine with the test images, for the length of the block."""
    found = running_endpoint()
    if found:
        with _locked(Path(tempfile.gettempdir()) / "encamp-test-images.lock"):
            _prepare(found)
        yield found
        return
    reason = why_no_engine()
    if reason:
        pytest.skip(reason)
    ROOT.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = Dockerd(ROOT)
    with (ROOT / "users.lock").open("w") as users:
        with _locked(ROOT / "start.lock"):
            fcntl.flock(users, fcntl.LOCK_SH)
            if not (engine.socket.exists() and answers(engine.endpoint)):
                if engine.pid():
                    engine.stop()
                engine.start()
            _prepare(engine.endpoint)
        try:
            yield engine.endpoint
        finally:
            with _locked(ROOT / "start.lock"):
                fcntl.flock(users, fcntl.LOCK_UN)
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if not os.environ.get("ENCAMP_KEEP_TEST_ENGINE"):
                        engine.stop()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[str]:
    """The endpoint of a real engine with the images of tests.images."""
    with shared_engine() as endpoint:
        yield endpoint


@pytest.fixture
def private_engine() -> Iterator[Dockerd]:
    """An engine of the test's own, which it may kill. Only network modes host and none; busybox is there."""
    reason = why_no_engine()
    if reason:
        pytest.skip(reason)
    # a short path: a unix socket's name has a limit
    root = Path(tempfile.mkdtemp(prefix="encamp-eng-"))
    engine = Dockerd(root, bridge=False)
    try:
        engine.start()
        client = api(engine.endpoint)
        try:
            images.ensure_busybox(client)
        finally:
            client.close()
        yield engine
    finally:
        if not engine.pid():
            with contextlib.suppress(RuntimeError):
                engine.start()  # a killed engine has left containers and a containerd: only it can end them
        _remove_containers(engine)
        engine.stop()
        shutil.rmtree(root, ignore_errors=True)


def _remove_containers(engine: Dockerd) -> None:
    with contextlib.suppress(Exception):
        client = api(engine.endpoint)
        try:
            for container in client.containers(all=True):
                client.remove_container(container["Id"], force=True)
        finally:
            client.close()
