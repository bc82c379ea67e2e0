"""The docker driver: one container of a Docker engine for each task.

Theory: the engine owns the containers, this object only watches them, so an agent that dies changes
nothing for the tasks. A container's name comes from its task's id: a start that is repeated finds what
the first one made. A handle holds the container's id; whoever has it can take the task back, also while
the engine is away.
Not here: what a container is made of (create), images (images), output (logpump), commands (execution).
Source: spec/nomad-surface.md A5; Docker Engine API 1.41.
"""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec

from plugins.configblock import decode
from plugins.docker_driver.config import DockerConfig
from plugins.docker_driver.create import container_name
from plugins.docker_driver.dangling import Dangling
from plugins.docker_driver.engine import Engine, pauses
from plugins.docker_driver.execution import run_exec
from plugins.docker_driver.facts import attributes
from plugins.docker_driver.images import Images
from plugins.docker_driver.launch import Launcher
from plugins.docker_driver.logpump import LogPump
from plugins.docker_driver.settings import DockerSettings
from plugins.docker_driver.stream import Address, EngineDown, EngineError, default_endpoint
from plugins.docker_driver.tracked import HandleState, Tracked, encode_state
from plugins.docker_driver.units import duration_s
from plugins.driver import (
    Capabilities,
    ConfigError,
    Driver,
    DriverContext,
    DriverError,
    DriverEvent,
    ExecIO,
    ExitResult,
    Fingerprint,
    TaskConfig,
    TaskHandle,
    TaskNotFound,
    TaskStats,
)

#: how long a killed container may take to be gone.
KILL_TIMEOUT_S: Final = 30.0
#: how long stop keeps trying to reach an engine that is away, beyond the task's own timeout.
REACH_TIMEOUT_S: Final = 10.0
FINGERPRINT_TIMEOUT_S: Final = 4.5
WRITER_THREADS: Final = 4


class DockerDriver(Driver):
    """Owned by the node agent; all methods run on one loop."""

    name = "docker"
    capabilities = Capabilities(fs_isolation="image", network_modes=("host", "bridge", "none"), mounts=True)
    task_config: ClassVar[type[msgspec.Struct]] = DockerConfig
    plugin_config: ClassVar[type[msgspec.Struct] | None] = DockerSettings

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        self.settings = decode(DockerSettings, context.config)
        tls = self.settings.tls
        url = self.settings.endpoint or default_endpoint()
        self.engine = Engine(Address(url=url, ca=tls.ca, cert=tls.cert, key=tls.key))
        self.logger = context.logger
        gc = self.settings.gc
        self.images = Images(
            self.engine,
            context.data_dir / "pulled-images.json",
            delay_s=duration_s(gc.image_delay) if gc.image else -1,
            logger=self.logger,
        )
        self.launcher = Launcher(
            self.engine,
            self.images,
            self.settings,
            node_id=context.node_id,
            node_name=context.node_name,
            report=self._report,
            logger=self.logger,
        )
        self._tasks: dict[str, Tracked] = {}
        self._positions = context.data_dir / "positions"
        self._writers = ThreadPoolExecutor(WRITER_THREADS, thread_name_prefix="docker-logs")
        self._dangling = Dangling(
            self.engine, gc.dangling_containers, context.node_id, self._knows, self.logger
        )
        self._seen_engine = False

    async def fingerprint(self) -> Fingerprint:
        """Ask the engine for its version."""
        path = self.engine.address.socket_path
        if path and not self._seen_engine and not os.path.exists(path):
            return Fingerprint(
                health="undetected", description=f"no Docker engine: there is no socket {path}"
            )
        try:
            async with asyncio.timeout(FINGERPRINT_TIMEOUT_S):
                version = await self.engine.ask_json("/version")
                info = await self.engine.ask_json("/info")
                found = attributes(version, info, await self._bridge())
        except TimeoutError:
            why = f"the Docker engine did not answer within {FINGERPRINT_TIMEOUT_S:g} s"
            return Fingerprint(health="unhealthy", description=why)
        except DriverError as error:
            health = "unhealthy" if self._seen_engine else "undetected"
            return Fingerprint(health=health, description=error.message)  # type: ignore[arg-type]
        if info.get("OSType", "linux") != "linux":
            return Fingerprint(
                health="undetected", description="the Docker engine does not run Linux containers"
            )
        if not self._seen_engine:
            self._seen_engine = True
            self.images.schedule_unused()
        self._dangling.begin()
        if self.settings.allow_privileged:
            found["driver.docker.privileged.enabled"] = "1"
        if self.settings.volumes.enabled:
            found["driver.docker.volumes.enabled"] = "1"
        return Fingerprint(attributes=found, description="Healthy")

    async def _bridge(self) -> dict[str, Any]:
        """The engine's default network; empty where it has none."""
        try:
            return await self.engine.ask_json("/networks/bridge")
        except EngineError:
            return {}

    async def start(self, task: TaskConfig) -> TaskHandle:
        """Make and start the task's container, or take over the one that an interrupted start has left."""
        try:
            config = decode(DockerConfig, task.config)
        except ConfigError as error:
            raise DriverError(f"the task's config block is wrong: {error}") from error
        known = self._tasks.get(task.id)
        if known is not None:
            return self._handle(task.id, known.state)
        name = container_name(task.id)
        found = await self.launcher.left_over(name, task.id)
        image_id = str(found["Image"]) if found else await self.launcher.image(task, config)
        self.images.hold(image_id, task.id)
        try:
            container_id = (
                str(found["Id"]) if found else await self.launcher.make(name, task, config, image_id)
            )
        except BaseException:
            self.images.release(image_id, task.id)
            raise
        state = HandleState(
            container_id=container_id,
            name=name,
            task=task.task,
            image_id=image_id,
            tty=config.tty,
            logs=task.logs,
            collect_logs=not (task.logs.disabled or self.settings.disable_log_collection),
        )
        self._track(task.id, state)
        return self._handle(task.id, state)

    def _track(self, task_id: str, state: HandleState) -> None:
        pump = None
        if state.collect_logs:
            pump = LogPump(
                self.engine,
                state.container_id,
                task=state.task,
                logs=state.logs,
                tty=state.tty,
                position=self._position(state.name),
                pool=self._writers,
                logger=self.logger,
                report=lambda message: self._report(task_id, message),
            )
        self.images.hold(state.image_id, task_id)
        self._tasks[task_id] = Tracked(self.engine, task_id, state, pump, self.logger)

    def _position(self, name: str) -> Path:
        return self._positions / f"{name}.json"

    def _handle(self, task_id: str, state: HandleState) -> TaskHandle:
        return TaskHandle(driver=self.name, task_id=task_id, state=encode_state(state))

    def _report(self, task_id: str, message: str) -> None:
        self.context.emit(DriverEvent(task_id=task_id, message=message))

    def _knows(self, task_id: str) -> bool:
        return task_id in self._tasks

    def _tracked(self, task_id: str) -> Tracked:
        found = self._tasks.get(task_id)
        if found is None:
            raise TaskNotFound(f"the docker driver has no task {task_id}")
        return found

    async def recover(self, handle: TaskHandle) -> None:
        """Look for the container; while the engine is away the task counts as running."""
        if handle.task_id in self._tasks:
            return
        try:
            state = msgspec.convert(handle.state, HandleState)
        except msgspec.ValidationError as error:
            raise TaskNotFound(
                f"the stored handle of task {handle.task_id} cannot be read: {error}"
            ) from error
        try:
            found = await self.engine.inspect(state.container_id)
        except EngineDown as error:
            self.logger.warning("task %s is taken back unseen: %s", handle.task_id, error)
        except EngineError as error:
            if error.status == 404:
                raise TaskNotFound(f"container {state.name} of task {handle.task_id} is gone") from error
            raise
        else:
            if (found.get("State") or {}).get("Status") == "created":
                raise TaskNotFound(f"container {state.name} of task {handle.task_id} was never started")
        self._track(handle.task_id, state)

    async def wait(self, task_id: str) -> ExitResult:
        """Wait for the container's end and for its output to be written."""
        return await self._tracked(task_id).wait()

    async def stop(self, task_id: str, signal: str, timeout_s: float) -> None:
        """Signal, wait, kill. An empty signal is the image's own stop signal."""
        tracked = self._tasks.get(task_id)
        if tracked is None or tracked.ended is not None:
            return
        container = tracked.state.container_id
        signal = signal or await self._stop_signal(container)
        if not await self._send(tracked, signal, timeout_s + REACH_TIMEOUT_S):
            return
        if timeout_s > 0 and signal != "SIGKILL" and await self._ends_within(tracked, timeout_s):
            return
        if await self._send(tracked, "SIGKILL", REACH_TIMEOUT_S) and not await self._ends_within(
            tracked, KILL_TIMEOUT_S
        ):
            raise DriverError(
                f"container {tracked.state.name} still runs {KILL_TIMEOUT_S:g} s after it was killed",
                recoverable=True,
            )

    async def _stop_signal(self, container: str) -> str:
        found = await self.engine.inspect(container)
        return str((found.get("Config") or {}).get("StopSignal") or "SIGTERM")

    async def _ends_within(self, tracked: Tracked, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await tracked.wait()
        except TimeoutError:
            return False
        return True

    async def _send(self, tracked: Tracked, signal: str, timeout_s: float) -> bool:
        """Send a signal, waiting for an engine that is away; False when the container does not run any more."""
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        for pause_s in pauses():
            try:
                await self.engine.call(lambda client: client.kill(tracked.state.container_id, signal=signal))
                return True
            except EngineError as error:
                if error.status in (404, 409):
                    return False
                raise
            except EngineDown:
                if asyncio.get_running_loop().time() + pause_s > deadline_s:
                    raise
                await asyncio.sleep(pause_s)
        return False

    async def destroy(self, task_id: str) -> None:
        """Remove the container with its anonymous volumes, and what this driver keeps about it."""
        tracked = self._tasks.get(task_id)
        name = container_name(task_id)
        if tracked is not None and not self.settings.gc.container:
            await self.stop(task_id, "SIGKILL", 0)
        elif tracked is not None:
            await self.launcher.remove(tracked.state.container_id)
        else:
            found = await self.launcher.owned_id(name, task_id)
            if found:
                await self.launcher.remove(found)
        if tracked is not None:
            self._tasks.pop(task_id, None)
            await tracked.close()
            self.images.release(tracked.state.image_id, task_id)
        await self.engine.call(lambda _: self._position(name).unlink(missing_ok=True))

    async def signal(self, task_id: str, signal: str) -> None:
        """Send a signal to the container's main process."""
        tracked = self._tracked(task_id)
        try:
            await self.engine.call(lambda client: client.kill(tracked.state.container_id, signal=signal))
        except EngineError as error:
            raise DriverError(f"cannot send {signal} to task {task_id}: {error.message}") from error

    async def stats(self, task_id: str) -> TaskStats:
        """One sample of the engine's figures."""
        tracked = self._tracked(task_id)
        container = tracked.state.container_id
        sample = await self.engine.call(lambda client: client.stats(container, stream=False, one_shot=True))
        return tracked.meter.read(sample, time.time_ns())

    async def exec(
        self, task_id: str, argv: list[str], *, tty: bool, io: ExecIO, env: dict[str, str] | None = None
    ) -> ExitResult:
        """Run a command in the container."""
        tracked = self._tracked(task_id)
        return await run_exec(self.engine, tracked.state.container_id, argv, tty=tty, io=io, env=env)

    async def close(self) -> None:
        """Let go of everything; containers go on."""
        await self._dangling.close()
        for tracked in list(self._tasks.values()):
            await tracked.close()
        self._tasks.clear()
        await self.images.close()
        await self.engine.close()
        self._writers.shutdown(wait=False, cancel_futures=True)
