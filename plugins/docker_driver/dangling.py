"""Finds containers of this node that nobody knows, and removes them.

Theory: an agent killed between the engine's create and its own note leaves a container behind; so does a
data directory that was wiped. Each carries the node's label. A container is removed only when the driver
does not know its task and it is older than a grace, since a start may be under way; the first search
waits one period, so that a restarted agent has taken its tasks back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from plugins.docker_driver.create import LABEL_NODE, LABEL_TASK
from plugins.docker_driver.engine import Engine
from plugins.docker_driver.settings import DanglingSettings
from plugins.docker_driver.units import duration_s
from plugins.driver import DriverError


def dangling_ids(
    listed: list[dict[str, Any]], knows: Callable[[str], bool], grace_s: float, now_s: float
) -> list[str]:
    """Ids of the containers that are old enough and that nobody knows. Pure."""
    return [
        str(entry["Id"])
        for entry in listed
        if not knows(str((entry.get("Labels") or {}).get(LABEL_TASK, "")))
        and now_s - float(entry.get("Created") or now_s) > grace_s
    ]


class Dangling:
    """The periodic search. Owned by the driver."""

    def __init__(
        self,
        engine: Engine,
        settings: DanglingSettings,
        node_id: str,
        knows: Callable[[str], bool],
        logger: logging.Logger,
    ) -> None:
        self.engine = engine
        self.settings = settings
        self.node_id = node_id
        self.knows = knows
        self.logger = logger
        self._aio_task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start the search, once."""
        if self.settings.enabled and self._aio_task is None:
            self._aio_task = asyncio.create_task(self._run(), name="docker dangling containers")

    async def _run(self) -> None:
        period_s = duration_s(self.settings.period)
        while True:
            await asyncio.sleep(period_s)
            try:
                await self.search()
            except DriverError as error:
                self.logger.warning("cannot search for containers without an owner: %s", error)

    async def search(self) -> list[str]:
        """One search; the ids of what was (or, in a dry run, would be) removed."""
        label = f"{LABEL_NODE}={self.node_id}"
        listed = await self.engine.call(lambda client: client.containers(all=True, filters={"label": label}))
        grace_s = duration_s(self.settings.creation_grace)
        found = dangling_ids(listed, self.knows, grace_s, time.time())
        for container_id in found:
            if self.settings.dry_run:
                self.logger.info("container %s has no owner (dry run: it stays)", container_id[:12])
                continue
            self.logger.warning("removing container %s, which has no owner", container_id[:12])
            try:
                await self.engine.call(
                    lambda client, container_id=container_id: client.remove_container(  # type: ignore[misc]
                        container_id, force=True, v=True
                    )
                )
            except DriverError as error:
                self.logger.warning("cannot remove container %s: %s", container_id[:12], error)
        return found

    async def close(self) -> None:
        """End the search."""
        if self._aio_task is not None:
            self._aio_task.cancel()
            await asyncio.wait([self._aio_task])
            self._aio_task = None
