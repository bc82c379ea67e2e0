"""The script of a mock task: its `config` block.

Durations are written like `1h2m3.5s` or `200ms`, or as a number of nanoseconds.
Source: spec/nomad-surface.md A5, mock_driver.
"""

from __future__ import annotations

import re

import msgspec

_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """Return a duration in seconds; empty is zero. Raises: ValueError, worded for the author of the job."""
    if not text:
        return 0.0
    if text.isdecimal():
        return int(text) / 1e9
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration such as 10s or 1m30s")
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)


def _bad_durations(block: msgspec.Struct, names: tuple[str, ...]) -> list[tuple[str, str]]:
    found = []
    for name in names:
        value = getattr(block, name)
        try:
            if "${" not in value:
                seconds(value)
        except ValueError as error:
            found.append((name, str(error)))
    return found


class ExecCommand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a command inside the task does. Its input is echoed when it prints nothing itself."""

    run_for: str = ""
    exit_code: int = 0
    exit_signal: int = 0
    exit_err_msg: str = ""
    stdout_string: str = ""
    stdout_repeat: int = 0
    stdout_repeat_duration: str = ""
    stderr_string: str = ""
    stderr_repeat: int = 0
    stderr_repeat_duration: str = ""

    def problems(self) -> list[tuple[str, str]]:
        """Return what the types cannot say."""
        return _bad_durations(self, ("run_for", "stdout_repeat_duration", "stderr_repeat_duration"))


class MockConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task's `config` block."""

    #: the start fails with this text.
    start_error: str = ""
    start_error_recoverable: bool = False
    #: the start takes this long.
    start_block_for: str = ""
    #: how long the task ignores a stop's signal.
    kill_after: str = ""
    #: how long the task runs; empty: it ends at once.
    run_for: str = ""
    exit_code: int = 0
    exit_signal: int = 0
    exit_err_msg: str = ""
    #: sending a signal fails with this text.
    signal_error: str = ""
    stdout_string: str = ""
    #: how often it is written again, and how long apart.
    stdout_repeat: int = 0
    stdout_repeat_duration: str = ""
    stderr_string: str = ""
    stderr_repeat: int = 0
    stderr_repeat_duration: str = ""
    exec_command: ExecCommand | None = None

    def problems(self) -> list[tuple[str, str]]:
        """Return what the types cannot say."""
        names = (
            "start_block_for",
            "kill_after",
            "run_for",
            "stdout_repeat_duration",
            "stderr_repeat_duration",
        )
        return _bad_durations(self, names)
