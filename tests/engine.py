"""A real Docker engine for tests: the one that runs already, else a `dockerd` of our own, shared by all workers.

The own engine lives under a fixed directory in the temporary folder (its images are kept, so the next run starts fast)
and is shared through file locks: each process that uses it holds a shared lock; the last one to leave stops it. An
engine that somebody else runs is used and never stopped.
Fixtures: `docker_engine` (session; busybox and redis images are there), `private_engine` (an engine of the test's own,
which it may kill). Import them into a conftest.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
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

    # the SDK leaks a socket where it is refused
    if endpoint.startswith("unix://") and not _accepts(Path(endpoint.removeprefix("unix://"))):
        return False
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
    """One `dockerd` with its own directory, socket and containerd, as separate processes as on a real machine."""

    def __init__(self, root: Path, *, own_network: bool = False, options: tuple[str, ...] = ()) -> None:
        self.root = root
        self.socket = root / "engine.sock"
        self.endpoint = f"unix://{self.socket}"
        self.containerd_socket = root / "containerd.sock"
        self.own_network = own_network
        self.options = options

    def start(self) -> None:
        """Start what does not run and wait until the engine answers."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        deadline = time.monotonic() + START_TIMEOUT_S
        if not self._pid("containerd"):
            config = self.root / "containerd.toml"
            config.write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
            directories = [f"--root={self.root}/containerd-root", f"--state={self.root}/containerd-state"]
            self._spawn(
                "containerd", f"--config={config}", f"--address={self.containerd_socket}", *directories
            )
        while not _accepts(self.containerd_socket):
            self._check("containerd", deadline)
        command = [
            f"--host={self.endpoint}",
            f"--containerd={self.containerd_socket}",
            f"--data-root={self.root}/data",
            f"--exec-root={self.root}/exec",
            f"--pidfile={self.root}/docker.pid",
            *self.options,
        ]
        (self.root / "docker.pid").unlink(missing_ok=True)
        # two engines in one network namespace would fight for the bridge docker0 and its firewall rules
        self._spawn("dockerd", *command, prefix=["unshare", "--net"] if self.own_network else [])
        while not answers(self.endpoint):
            self._check("dockerd", deadline)

    def _spawn(self, program: str, *arguments: str, prefix: Sequence[str] = ()) -> None:
        with (self.root / f"{program}.log").open("wb") as output:
            process = subprocess.Popen(
                [*prefix, program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        _STARTED.append(process)
        (self.root / f"{program}.pid").write_text(str(process.pid))

    def _check(self, program: str, deadline: float) -> None:
        """Wait a little; raise when the program has ended or the time is over."""
        if not self._pid(program) or time.monotonic() > deadline:
            log = (self.root / f"{program}.log").read_text()[-3000:]
            self.stop()
            raise RuntimeError(f"{program} did not start; its log ends:\n{log}")
        time.sleep(0.05)

    def _pid(self, program: str) -> int:
        """The program's process, also when another process started it; 0: none."""
        for process in _STARTED:
            process.poll()  # ours must be reaped, or they would seem to be alive
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.root / f"{program}.pid").read_text())
            if any(process.pid == pid and process.returncode is None for process in _STARTED):
                return pid  # its command line is empty for a moment after the start
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if program.encode() in command and str(self.root).encode() in command:
                return pid
        return 0

    def is_running(self) -> bool:
        """True while dockerd lives."""
        return bool(self._pid("dockerd"))

    def signal(self, number: int, program: str = "dockerd") -> None:
        """Send a signal to the engine's process."""
        pid = self._pid(program)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _wait_gone(self, program: str) -> bool:
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self._pid(program):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def stop_engine(self) -> None:
        """End dockerd in an orderly way; containerd stays."""
        self.signal(signal.SIGTERM)
        if not self._wait_gone("dockerd"):
            self.kill()

    def kill(self) -> None:
        """Kill dockerd alone; containerd and the containers go on."""
        self.signal(signal.SIGKILL)
        self._wait_gone("dockerd")

    def stop(self) -> None:
        """End everything and its mounts."""
        self.stop_engine()
        self.signal(signal.SIGTERM, "containerd")
        if not self._wait_gone("containerd"):
            self.signal(signal.SIGKILL, "containerd")
            self._wait_gone("containerd")
        points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for point in reversed(points):
            if point.startswith(f"{self.root}/"):
                subprocess.run(["umount", "-l", point], check=False)


def _accepts(path: Path) -> bool:
    """True when something listens on a unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
        knock.settimeout(5)
        try:
            knock.connect(str(path))
        except OSError:
            return False
    return True


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
            if not answers(engine.endpoint):
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
    """An engine of the test's own, which it may kill, in a network namespace of its own; busybox is there."""
    reason = why_no_engine()
    if reason:
        pytest.skip(reason)
    # a short path: a unix socket's name has a limit
    root = Path(tempfile.mkdtemp(prefix="encamp-eng-"))
    engine = Dockerd(root, own_network=True)
    try:
        engine.start()
        client = api(engine.endpoint)
        try:
            images.ensure_busybox(client)
        finally:
            client.close()
        yield engine
    finally:
        end_private(engine)


def end_private(engine: Dockerd) -> None:
    """End an engine of a test's own with its containers, and remove its directory."""
    if not engine.is_running():
        with contextlib.suppress(RuntimeError):
            engine.start()  # a killed engine has left containers: only it can end them
    _remove_containers(engine)
    engine.stop()
    shutil.rmtree(engine.root, ignore_errors=True)


def _remove_containers(engine: Dockerd) -> None:
    with contextlib.suppress(Exception):
        client = api(engine.endpoint)
        try:
            for container in client.containers(all=True):
                client.remove_container(container["Id"], force=True)
        finally:
            client.close()
