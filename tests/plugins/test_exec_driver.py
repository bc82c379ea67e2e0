"""The exec driver keeps the contract, with a real OCI runtime."""

from __future__ import annotations

import pytest

from plugins.exec_driver.driver import ExecDriver
from plugins.kit import DriverContract

pytestmark = [pytest.mark.root, pytest.mark.runc]


class TestExecContract(DriverContract):
    driver_class = ExecDriver
    needs_supervisor = True

    def sleeping(self):
        # the first process of a pid namespace ends on SIGTERM only if it handles it
        return {"command": "/bin/sh", "args": ["-c", "trap 'exit 1' TERM; while :; do sleep 0.05; done"]}

    def exiting(self, code):
        return {"command": "/bin/sh", "args": ["-c", f"exit {code}"]}

    def broken(self):
        return {"command": "no-such-command"}

    def stubborn(self):
        return {"command": "/bin/sh", "args": ["-c", "trap '' TERM; echo ready; while :; do sleep 1; done"]}

    def printing(self, stdout, stderr):
        return {"command": "/bin/sh", "args": ["-c", f"echo '{stdout}'; echo '{stderr}' >&2"]}

    def printing_env(self, name):
        return {"command": "sh", "args": ["-c", f"echo ${name}"]}

    def echo_argv(self):
        return ["cat"]

    def failing_argv(self, code):
        return ["sh", "-c", f"exit {code}"]
