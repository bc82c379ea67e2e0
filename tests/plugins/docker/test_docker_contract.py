"""The driver conformance kit against the docker driver on a real engine."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from plugins.docker_driver.driver import DockerDriver
from plugins.driver import Driver
from plugins.kit import DriverContract, Scenario

pytestmark = [pytest.mark.docker, pytest.mark.slow]


def shell(script: str) -> Scenario:
    """A script in busybox's shell."""
    return {"image": "busybox:1", "network_mode": "none", "command": "sh", "args": ["-c", script]}


class TestDockerContract(DriverContract):
    """Docker as the kit sees it."""

    driver_class: ClassVar[type[Driver]] = DockerDriver

    @pytest.fixture(autouse=True)
    def _engine(self, docker_engine: str) -> None:
        self.endpoint = docker_engine

    def plugin_settings(self) -> dict[str, Any]:
        return {"endpoint": self.endpoint}

    def sleeping(self) -> Scenario:
        return shell("trap 'exit 143' TERM; while :; do sleep 0.05; done")

    def exiting(self, code: int) -> Scenario:
        return shell(f"exit {code}")

    def broken(self) -> Scenario:
        return {"image": "busybox:1", "network_mode": "none", "command": "/no/such/program"}

    def stubborn(self) -> Scenario | None:
        return shell("trap '' TERM; echo ready; while :; do sleep 0.05; done")

    def printing(self, stdout: str, stderr: str) -> Scenario | None:
        return {**shell('printf %s "$1"; printf %s "$2" >&2'), "args": [
            "-c", 'printf %s "$1"; printf %s "$2" >&2', "sh", stdout, stderr,
        ]}  # fmt: skip

    def printing_env(self, name: str) -> Scenario | None:
        return shell(f'printf %s "${name}"')

    def echo_argv(self) -> list[str] | None:
        return ["cat"]

    def failing_argv(self, code: int) -> list[str] | None:
        return ["sh", "-c", f"exit {code}"]
