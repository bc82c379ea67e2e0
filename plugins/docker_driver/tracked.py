"""One task of the driver while the agent lives: its container, the wait for its end, its log pump.

Theory: the watch asks the engine until it knows how the container ended; an engine that is away is waited
for, since only it knows the container's fate. The result is given out after the output is written (or
after a bound).
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import msgspec

from plugins.docker_driver.engine import Engine, pauses
from plugins.docker_driver.facts import CpuMeter, exit_result
from plugins.docker_driver.logpump import LogPump
from plugins.docker_driver.stream import EngineDown, EngineError
from plugins.driver import ExitResult, LogConfig

#: how long the exit of a task is held back for the rest of its output.
DRAIN_TIMEOUT_S: Final = 5.0


class HandleState(msgspec.Struct, frozen=True, kw_only=True):
    """What a task handle stores: enough to take the container back."""

    container_id: str
    name: str
    task: str
    image_id: str
    tty: bool
    logs: LogConfig
    collect_logs: bool = True


class Tracked:
    """Owned by the driver; `close` ends what runs for it here, not the container."""

    def __init__(
        self, engine: Engine, task_id: str, state: HandleState, pump: LogPump | None, logger: logging.Logger
    ) -> None:
        self.engine = engine
        self.task_id = task_id
        self.state = state
        self.meter = CpuMeter()
        self.logger = logger
        self._pump = pump
        self._pumping = (
            asyncio.create_task(pump.run(), name=f"docker logs {state.name}") if pump is not None else None
        )
        self._watching = asyncio.create_task(self._watch(), name=f"docker wait {state.name}")

    @property
    def ended(self) -> ExitResult | None:
        """How the task ended, as far as this process knows."""
        if self._watching.done() and not self._watching.cancelled() and self._watching.exception() is None:
            return self._watching.result()
        return None

    async def wait(self) -> ExitResult:
        """Wait for the end; many may wait, and each may be cancelled."""
        return await asyncio.shield(self._watching)

    async def _watch(self) -> ExitResult:
        result = await self._container_end()
        if self._pumping is not None and self._pump is not None:
            self._pump.container_ended()
            done, _ = await asyncio.wait([self._pumping], timeout=DRAIN_TIMEOUT_S)
            if not done:
                self.logger.warning("task %s has ended, its last output is still being written", self.task_id)
            elif not self._pumping.cancelled() and self._pumping.exception() is not None:
                self.logger.error(
                    "collecting the logs of task %s failed", self.task_id, exc_info=self._pumping.exception()
                )
        return result

    async def _container_end(self) -> ExitResult:
        wait = pauses()
        away = False
        while True:
            try:
                result = await self._ask_end()
                if result is not None:
                    return result
            except EngineDown as error:
                if not away:
                    self.logger.warning("waiting for the Docker engine: %s", error)
                away = True
            except EngineError as error:
                if error.status == 404:
                    return ExitResult(
                        error=f"container {self.state.name} was removed by somebody else; its exit code is unknown"
                    )
                self.logger.warning("cannot wait for container %s: %s", self.state.name, error)
            else:
                if away:
                    self.logger.info("the Docker engine is back; task %s runs", self.task_id)
                    wait = pauses()
                away = False
            await asyncio.sleep(next(wait))

    async def _ask_end(self) -> ExitResult | None:
        """Wait in the engine, then look; None: it runs after all."""
        found = exit_result(await self.engine.inspect(self.state.container_id))
        if found is not None:
            return found
        await self.engine.wait_stopped(self.state.container_id)
        return exit_result(await self.engine.inspect(self.state.container_id))

    async def close(self) -> None:
        """Cancel and await both. Idempotent."""
        running = [aio_task for aio_task in (self._watching, self._pumping) if aio_task is not None]
        for aio_task in running:
            aio_task.cancel()
        await asyncio.wait(running)
        if self._pump is not None:
            self._pump.close()


def encode_state(state: HandleState) -> dict[str, Any]:
    """The handle's data as plain JSON values."""
    built: dict[str, Any] = msgspec.to_builtins(state)
    return built
