"""Entry point of the mock_driver."""

from __future__ import annotations

from plugins.driver import Driver
from plugins.mock_driver.driver import MockDriver
from plugins.spec import hookimpl


@hookimpl
def encamp_drivers() -> list[type[Driver]]:
    """Return the mock driver."""
    return [MockDriver]
