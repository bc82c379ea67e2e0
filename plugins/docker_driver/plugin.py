"""Registers the docker driver. Importing it is cheap: the Docker SDK is imported at the first use of the
engine.
"""

from __future__ import annotations

from plugins.docker_driver.driver import DockerDriver
from plugins.driver import Driver
from plugins.spec import hookimpl


@hookimpl
def encamp_drivers() -> list[type[Driver]]:
    """Offer the docker driver."""
    return [DockerDriver]
