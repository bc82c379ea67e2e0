"""The mock driver keeps the contract, and its script is obeyed."""

from __future__ import annotations

from plugins.kit import DriverContract
from plugins.mock_driver.driver import MockDriver


class TestMockContract(DriverContract):
    driver_class = MockDriver

    def sleeping(self):
        return {"run_for": "1h", "exec_command": {}}

    def exiting(self, code):
        return {"run_for": "10ms", "exit_code": code}

    def broken(self):
        return {"start_error": "scripted to fail"}

    def stubborn(self):
        return {"run_for": "1h", "kill_after": "1h", "stdout_string": "ready"}

    def printing(self, stdout, stderr):
        return {"run_for": "50ms", "stdout_string": stdout, "stderr_string": stderr}

    def echo_argv(self):
        return ["cat"]
