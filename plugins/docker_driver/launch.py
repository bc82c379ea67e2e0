"""From a task's configuration to a running container: image, leftovers of interrupted starts, create, start.

Theory: a start may have been cut off at any line, by a kill or a cancellation. The container's name
tells: one that was started is taken over, one that was only made is removed and made again, one of
somebody else is an error.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Any, Final

from plugins.docker_driver import auth
from plugins.docker_driver.config import DockerConfig
from plugins.docker_driver.create import LABEL_TASK, create_body
from plugins.docker_driver.engine import Engine, pauses
from plugins.docker_driver.facts import start_error
from plugins.docker_driver.images import Images
from plugins.docker_driver.settings import DockerSettings
from plugins.docker_driver.stream import EngineError
from plugins.docker_driver.units import duration_s
from plugins.driver import DriverError, TaskConfig

#: how long a removal may take, with the kill before it.
REMOVE_TIMEOUT_S: Final = 30.0
Report = Callable[[str, str], None]


class Launcher:
    """Owned by the driver; holds no state of its own. `report` takes (task id, message)."""

    def __init__(
        self,
        engine: Engine,
        images: Images,
        settings: DockerSettings,
        *,
        node_id: str,
        node_name: str,
        report: Report,
        logger: logging.Logger,
    ) -> None:
        self.engine = engine
        self.images = images
        self.settings = settings
        self.node_id = node_id
        self.node_name = node_name
        self.report = report
        self.logger = logger

    async def image(self, task: TaskConfig, config: DockerConfig) -> str:
        """The id of the task's image: loaded from a file, local, or pulled."""
        if config.load:
            await self._load(task, config.load)
        try:
            header = await self.engine.call(
                lambda _: auth.registry_header(config.image, config.auth, self.settings.auth)
            )
        except auth.AuthError as error:
            if not config.auth_soft_fail:
                raise
            header = ""
            self.report(task.id, f"Pulling without credentials (auth_soft_fail): {error.message}")
        pull_timeout = config.image_pull_timeout or self.settings.image_pull_timeout
        return await self.images.ensure(
            config.image,
            user=task.id,
            force=config.force_pull and not config.load,
            is_loaded=bool(config.load),
            auth=header,
            timeout_s=duration_s(pull_timeout),
            activity_timeout_s=duration_s(self.settings.pull_activity_timeout),
            report=lambda message: self.report(task.id, message),
        )

    async def _load(self, task: TaskConfig, file: str) -> None:
        """Load an image archive out of the task's local directory."""
        root = os.path.realpath(f"{task.task_dir}/local")
        path = os.path.realpath(os.path.join(root, file))
        if not path.startswith(root + "/"):
            raise DriverError(f"load = {file!r}: expected a file inside the task's local directory")

        def load(client: Any) -> None:
            try:
                with open(path, "rb") as archive:
                    for line in client.load_image(archive):
                        if line.get("error"):
                            raise DriverError(f"load = {file!r}: {line['error']}")
            except OSError as error:
                raise DriverError(f"load = {file!r}: {error.strerror}") from error

        await self.engine.call(load)

    async def left_over(self, name: str, task_id: str) -> dict[str, Any] | None:
        """The container of an interrupted start, if it was started; one that was only made is removed."""
        try:
            found = await self.engine.inspect(name)
        except EngineError as error:
            if error.status == 404:
                return None
            raise
        labels = (found.get("Config") or {}).get("Labels") or {}
        if labels.get(LABEL_TASK) != task_id:
            raise DriverError(
                f"the name {name} is taken by a container that is not this task's; remove it: docker rm {name}"
            )
        status = str((found.get("State") or {}).get("Status"))
        if status not in ("created", "removing", "dead"):
            self.logger.info("task %s: taking over container %s (%s)", task_id, name, status)
            return found
        await self.remove(str(found["Id"]))
        return None

    async def make(self, name: str, task: TaskConfig, config: DockerConfig, image_id: str) -> str:
        """Create and start. When either fails nothing is left."""
        body = create_body(
            task,
            config,
            self.settings,
            image=image_id,
            node_id=self.node_id,
            node_name=self.node_name,
            cpu_count=os.cpu_count() or 1,
        )
        attempts = config.container_exists_attempts or self.settings.container_exists_attempts
        for attempt, pause_s in enumerate(pauses(), 1):
            try:
                made = await self.engine.call(lambda client: client.create_container_from_config(body, name))
                break
            except EngineError as error:
                # an interrupted start may be finishing in the engine at this very moment
                if error.status != 409 or attempt >= attempts:
                    raise start_error(error, config.image) from error
                await asyncio.sleep(pause_s)
                found = await self.left_over(name, task.id)
                if found is not None:
                    return str(found["Id"])
        container_id = str(made["Id"])
        try:
            await self.engine.call(lambda client: client.start(container_id))
        except DriverError as error:
            await self._clean_up(container_id)
            raise start_error(error, config.image) from error
        return container_id

    async def _clean_up(self, container_id: str) -> None:
        """Remove a container that could not be started; if that fails too, the periodic search finds it."""
        try:
            await self.remove(container_id)
        except DriverError as error:
            self.logger.warning("cannot remove container %s after a failed start: %s", container_id, error)

    async def owned_id(self, name: str, task_id: str) -> str:
        """The id of an untracked container of this task; empty when there is none."""
        try:
            found = await self.engine.inspect(name)
        except EngineError as error:
            if error.status == 404:
                return ""
            raise
        labels = (found.get("Config") or {}).get("Labels") or {}
        return str(found["Id"]) if labels.get(LABEL_TASK) == task_id else ""

    async def remove(self, container_id: str) -> None:
        """Kill and remove; a removal that runs already is waited for."""
        async with asyncio.timeout(REMOVE_TIMEOUT_S):
            for pause_s in pauses():
                try:
                    await self.engine.call(
                        lambda client: client.remove_container(container_id, force=True, v=True)
                    )
                    return
                except EngineError as error:
                    if error.status == 404:
                        return
                    if error.status != 409:
                        raise
                await asyncio.sleep(pause_s)
