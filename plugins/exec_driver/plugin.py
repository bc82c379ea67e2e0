"""Entry point of the exec driver."""

from __future__ import annotations

from plugins.driver import Driver
from plugins.exec_driver.driver import ExecDriver
from plugins.spec import hookimpl


@hookimpl
def encamp_drivers() -> list[type[Driver]]:
    """Return the exec driver."""
    return [ExecDriver]
