"""Fixtures of the node's tests."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from daemon.node.disk.mounts import mounts_below, unmount_below
from tests.engine import docker_engine

__all__ = ["docker_engine"]


def _processes_of(data_dir: Path) -> list[int]:
    """Processes whose command line names the directory or its marker."""
    words = (str(data_dir).encode(), f"marker-{data_dir.name}-{os.getpid()}".encode())
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if any(word in line for word in words):
            found.append(int(entry.name))
    return found


@pytest.fixture
def data_dir(tmp_path):
    """A data directory; nothing may be mounted below it or run for it at the end."""
    yield tmp_path
    left, mounted = _processes_of(tmp_path), mounts_below(tmp_path)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    unmount_below(tmp_path)
    assert (left, mounted) == ([], [])
