"""The images of a node: finds or pulls them, counts who uses them, removes what this driver pulled when
unused.

Theory: pulls of one image coalesce into one; the last waiter that leaves cancels it. Only images that
this driver pulled are ever removed, after a delay without a user, so that a restart does not pull again
and an image which the operator loaded by hand stays. What was pulled is remembered in a small file across
restarts of the agent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from plugins.docker_driver.engine import Engine
from plugins.docker_driver.pull import pull
from plugins.docker_driver.stream import EngineDown, EngineError
from plugins.docker_driver.units import DEFAULT_TAG, full_name, split_image

#: how often a removal that the engine refused is tried again.
RETRY_S: Final = 60.0
Report = Callable[[str], None]


class _Pull:
    """One running pull and those who wait for it."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.aio_task: asyncio.Task[None] | None = None

    def report(self, message: str) -> None:
        """Tell all who wait."""
        for report in list(self.reports):
            report(message)


class Images:
    """Owned by the driver, on its loop."""

    def __init__(self, engine: Engine, record: Path, *, delay_s: float, logger: logging.Logger) -> None:
        self.engine = engine
        self.delay_s = delay_s
        self.logger = logger
        self._record = record
        self._pulls: dict[tuple[str, str], _Pull] = {}
        #: image id -> ids of the tasks that use it.
        self._users: dict[str, set[str]] = {}
        #: image id -> names under which this driver pulled it.
        self._pulled: dict[str, list[str]] = self._load()
        self._removals: dict[str, asyncio.TimerHandle] = {}
        self._removing: dict[str, asyncio.Task[None]] = {}

    async def local_id(self, name: str) -> str:
        """The id of a local image; empty when it is not there."""
        try:
            found = await self.engine.call(lambda client: client.inspect_image(name))
        except EngineError as error:
            if error.status == 404:
                return ""
            raise
        return str(found.get("Id", ""))

    async def ensure(
        self,
        name: str,
        *,
        user: str,
        force: bool,
        auth: str,
        is_loaded: bool = False,
        timeout_s: float,
        activity_timeout_s: float,
        report: Report,
    ) -> str:
        """The id of the image, pulled if need be, held for the task `user`. Raises DriverError.

        A local image is taken as it is, unless its tag is `latest` (or none) or a pull is forced; one that was
        just loaded from a file (`is_loaded`) is always taken.
        """
        found = await self.local_id(name)
        wants_newest = force or split_image(name)[1] == DEFAULT_TAG
        if not found or (wants_newest and not is_loaded):
            await self._pull_once(name, auth, timeout_s, activity_timeout_s, report)
            before, found = found, await self.local_id(name)
            if not found:
                raise EngineError(
                    f"image {full_name(name)} is not there after its pull", status=404, recoverable=True
                )
            if found != before:
                self._remember(found, full_name(name))
        self.hold(found, user)
        return found

    async def _pull_once(
        self, name: str, auth: str, timeout_s: float, activity_timeout_s: float, report: Report
    ) -> None:
        """Join the pull of this image, or begin it; the last one that is cancelled cancels it."""
        key = (full_name(name), auth)
        running = self._pulls.get(key)
        if running is None:
            running = self._pulls[key] = _Pull()
            running.aio_task = asyncio.create_task(
                pull(
                    self.engine,
                    name,
                    auth=auth,
                    timeout_s=timeout_s,
                    activity_timeout_s=activity_timeout_s,
                    report=running.report,
                ),
                name=f"docker pull {name}",
            )
        assert running.aio_task is not None
        running.reports.append(report)
        report(f"Downloading image {full_name(name)}")
        try:
            await asyncio.shield(running.aio_task)
        finally:
            running.reports.remove(report)
            if not running.reports and self._pulls.get(key) is running:
                del self._pulls[key]
                running.aio_task.cancel()
                await asyncio.wait([running.aio_task])

    def hold(self, image_id: str, user: str) -> None:
        """Keep an image while a task uses it."""
        self._users.setdefault(image_id, set()).add(user)
        timer = self._removals.pop(image_id, None)
        if timer is not None:
            timer.cancel()

    def release(self, image_id: str, user: str) -> None:
        """A task has ended; the image goes after the delay unless somebody takes it again."""
        users = self._users.get(image_id)
        if users is not None:
            users.discard(user)
            if not users:
                del self._users[image_id]
                self._schedule(image_id, self.delay_s)

    def schedule_unused(self) -> None:
        """After a restart: everything pulled before that nobody takes back in time goes too."""
        for image_id in self._pulled:
            if image_id not in self._users:
                self._schedule(image_id, self.delay_s)

    def _schedule(self, image_id: str, delay_s: float) -> None:
        if image_id not in self._pulled or self.delay_s < 0:
            return
        timer = self._removals.pop(image_id, None)
        if timer is not None:
            timer.cancel()
        loop = asyncio.get_running_loop()
        self._removals[image_id] = loop.call_later(delay_s, self._begin_removal, image_id)

    def _begin_removal(self, image_id: str) -> None:
        self._removals.pop(image_id, None)
        if image_id in self._users or image_id in self._removing:
            return
        aio_task = asyncio.create_task(self._remove(image_id), name=f"docker image removal {image_id[:19]}")
        self._removing[image_id] = aio_task
        aio_task.add_done_callback(lambda _: self._removing.pop(image_id, None))

    async def _remove(self, image_id: str) -> None:
        for name in self._pulled.get(image_id, []):
            try:
                if await self.local_id(name) != image_id:
                    continue  # the name has moved to a newer image, which is not ours to remove here
                await self.engine.call(lambda client, name=name: client.remove_image(name))  # type: ignore[misc]
            except EngineDown:
                self._schedule(image_id, max(self.delay_s, RETRY_S))
                return
            except EngineError as error:
                if error.status == 409:
                    self.logger.info("image %s is in use outside of encamp and stays", name)
                elif error.status != 404:
                    self.logger.warning("cannot remove image %s: %s", name, error)
            else:
                self.logger.info("removed image %s, unused for %g s", name, self.delay_s)
        if image_id not in self._users:
            self._pulled.pop(image_id, None)
            self._save()

    def _remember(self, image_id: str, name: str) -> None:
        names = self._pulled.setdefault(image_id, [])
        if name not in names:
            names.append(name)
        self._save()

    def _load(self) -> dict[str, list[str]]:
        try:
            return msgspec.json.decode(self._record.read_bytes(), type=dict[str, list[str]])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError) as error:
            self.logger.warning(
                "cannot read %s (%s): images pulled before stay on this node", self._record, error
            )
            return {}

    def _save(self) -> None:
        fresh = self._record.with_suffix(".new")
        try:
            fresh.write_bytes(msgspec.json.encode(self._pulled))
            fresh.replace(self._record)
        except OSError as error:
            self.logger.warning("cannot write %s: %s", self._record, error)

    async def close(self) -> None:
        """Cancel pulls, timers and removals."""
        for timer in self._removals.values():
            timer.cancel()
        self._removals.clear()
        running = [entry.aio_task for entry in self._pulls.values() if entry.aio_task is not None]
        running += list(self._removing.values())
        for aio_task in running:
            aio_task.cancel()
        if running:
            await asyncio.wait(running)
