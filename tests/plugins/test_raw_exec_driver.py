"""The raw_exec driver keeps the contract, on real processes."""

from __future__ import annotations

from plugins.kit import DriverContract
from plugins.raw_exec.driver import RawExecDriver


class TestRawExecContract(DriverContract):
    driver_class = RawExecDriver
    needs_supervisor = True

    def sleeping(self):
        return {"command": "/bin/sleep", "args": ["3600"]}

    def exiting(self, code):
        return {"command": "/bin/sh", "args": ["-c", f"exit {code}"]}

    def broken(self):
        return {"command": "no-such-command"}

    def stubborn(self):
        return {"command": "/bin/sh", "args": ["-c", "trap '' TERM; echo ready; while :; do sleep 1; done"]}

    def printing(self, stdout, stderr):
        return {"command": "/bin/sh", "args": ["-c", f"echo '{stdout}'; echo '{stderr}' >&2"]}

    def printing_env(self, name):
        return {"command": "/bin/sh", "args": ["-c", f"echo ${name}"]}

    def echo_argv(self):
        return ["cat"]

    def failing_argv(self, code):
        return ["sh", "-c", f"exit {code}"]
