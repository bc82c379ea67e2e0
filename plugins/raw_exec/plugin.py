"""Entry point of the raw_exec driver."""

from __future__ import annotations

from plugins.driver import Driver
from plugins.raw_exec.driver import RawExecDriver
from plugins.spec import hookimpl


@hookimpl
def encamp_drivers() -> list[type[Driver]]:
    """Return the raw_exec driver."""
    return [RawExecDriver]
