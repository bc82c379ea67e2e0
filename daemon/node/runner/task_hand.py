"""The hand of a task's core: does its effects on the driver, in order, and feeds the answers back.

Theory: one worker does one effect after the other, so that a new attempt never begins while the last one is being
destroyed. Only an Abort overtakes: it cancels the launch that the worker is in. A second task waits for the end of
the present attempt. What a driver cannot do now (an engine that is down) is tried again for ever with backoff: the
allocation holds its place until the node knows that nothing of it is left.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from daemon.aio.retry import backoff_s
from daemon.aio.scope import Scope
from daemon.model.errors import EncampError
from daemon.node.disk.layout import AllocLayout
from daemon.node.drivers.remote import RemoteDriver
from daemon.node.runner import inputs as i
from daemon.node.runner import words
from daemon.node.runner.deps import RunnerDeps
from daemon.node.runner.effects import Abort, Destroy, Launch, Recover, StopTask, TaskEffect
from daemon.node.runner.taskconfig import Placed, build, task_id
from plugins.driver import ConfigError, DriverError, ExitResult, TaskNotFound

log = logging.getLogger("encamp.node")

_RETRY_FIRST_S = 0.2
_RETRY_MAX_S = 15.0
#: effects that may wait; the core never has more than a handful under way.
_QUEUE_MAX = 64


class TaskHand:
    """Owned by the allocation's runner, in whose scope its tasks live."""

    def __init__(
        self,
        name: str,
        *,
        placed: Callable[[], Placed],
        layout: AllocLayout,
        deps: RunnerDeps,
        feed: Callable[[i.TaskInput], None],
        scope: Scope,
    ) -> None:
        self._name = name
        self._placed = placed
        self._layout = layout
        self._deps = deps
        self._feed = feed
        self._scope = scope
        self._queue: asyncio.Queue[TaskEffect] = asyncio.Queue(_QUEUE_MAX)
        self._launch: asyncio.Task[None] | None = None
        self._waiter: asyncio.Task[None] | None = None
        #: the attempt whose launch has been answered.
        self._answered = 0
        scope.spawn(self._work(), f"{name}/hand")

    def do(self, effect: TaskEffect) -> None:
        """Do this after all that was asked before."""
        if isinstance(effect, Abort) and self._launch is not None:
            self._launch.cancel()
        self._queue.put_nowait(effect)

    def driver(self) -> RemoteDriver:
        """The task's driver whatever its health. Raises DriverError when the node does not have it (any more)."""
        name = self._placed().task(self._name).driver
        driver = self._deps.drivers.held(name)
        if driver is None:
            raise DriverError(f"this node has no driver {name!r} (any more)")
        return driver

    def id_of(self, attempt: int) -> str:
        """The driver's id of an attempt."""
        return task_id(self._placed().alloc.id, self._name, attempt)

    async def _work(self) -> None:
        while True:
            effect = await self._queue.get()
            match effect:
                case Launch():
                    self._launch = self._scope.spawn(self._start(effect), f"{self._name}/launch")
                    await asyncio.wait([self._launch])
                    self._launch = None
                case Abort():
                    if self._answered != effect.attempt:
                        await self._destroy(effect.attempt)
                        self._feed(i.Aborted(attempt=effect.attempt))
                case Recover():
                    await self._recover(effect)
                case StopTask():
                    await self._stop(effect)
                case Destroy():
                    await self._destroy(effect.attempt)
                    self._feed(i.Destroyed(attempt=effect.attempt))
                case _:
                    raise TypeError(f"no hand for {type(effect).__name__}")

    # launch

    async def _start(self, effect: Launch) -> None:
        attempt = effect.attempt
        try:
            answer = await self._try_start(attempt)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            # a bug of the driver or of ours must not leave the task waiting for ever
            log.exception("start of task %s failed", self.id_of(attempt))
            answer = self._failed(attempt, f"unexpected {type(error).__name__}: {error}")
        self._answered = attempt
        if isinstance(answer, i.Launched):
            self._wait_for_end(attempt)
        self._feed(answer)

    async def _try_start(self, attempt: int) -> i.Launched | i.LaunchFailed:
        placed = self._placed()
        try:
            driver = self._deps.drivers.get(placed.task(self._name).driver)
        except DriverError as error:
            return self._failed(attempt, error.message, recoverable=error.recoverable)
        try:
            config = await asyncio.to_thread(
                build,
                placed,
                self._name,
                attempt,
                layout=self._layout,
                node=self._deps.view(),
                capabilities=driver.capabilities,
            )
        except (OSError, EncampError, DriverError) as error:
            return self._failed(attempt, str(error), recoverable=isinstance(error, OSError), setup=True)
        try:
            return i.Launched(attempt=attempt, handle=await driver.start(config))
        except DriverError as error:
            return self._failed(attempt, error.message, recoverable=error.recoverable)
        except ConfigError as error:
            return self._failed(attempt, f"the task's config is wrong: {error}")
        except TimeoutError as error:
            return self._failed(attempt, f"the start took too long: {error}", recoverable=True)
        except EncampError as error:
            return self._failed(attempt, error.message, recoverable=True)

    def _failed(
        self, attempt: int, message: str, *, recoverable: bool = False, setup: bool = False
    ) -> i.LaunchFailed:
        return i.LaunchFailed(
            attempt=attempt,
            message=message,
            recoverable=recoverable,
            setup=setup,
            jitter=self._deps.random_.random(),
        )

    # end

    def _wait_for_end(self, attempt: int) -> None:
        self._end_wait()
        self._waiter = self._scope.spawn(self._watch(attempt), f"{self._name}/wait")

    def _end_wait(self) -> None:
        if self._waiter is not None:
            self._waiter.cancel()
            self._waiter = None

    async def _watch(self, attempt: int) -> None:
        tries = 0
        while True:
            try:
                result = await self.driver().wait(self.id_of(attempt))
                break
            except TaskNotFound as error:
                result = ExitResult(error=f"exit status unknown: {error.message}")
                break
            except Exception as error:
                tries += 1
                await self._again(f"waiting for the end of {self.id_of(attempt)}", error, tries)
        self._feed(i.Exited(attempt=attempt, result=result, jitter=self._deps.random_.random()))

    async def _recover(self, effect: Recover) -> None:
        attempt = effect.attempt
        self._answered = attempt
        tries = 0
        while True:
            try:
                await self.driver().recover(effect.handle)
                break
            except (DriverError, TimeoutError, EncampError) as error:
                if isinstance(error, DriverError) and not error.recoverable and self._is_final(error):
                    self._lost(attempt, error.message)
                    return
                tries += 1
                if tries == 1:
                    self._note(f"The driver cannot take the task back yet: {error}")
                await self._again(f"taking {self.id_of(attempt)} back", error, tries)
            except Exception as error:
                log.exception("recovering task %s failed", self.id_of(attempt))
                self._lost(attempt, f"unexpected {type(error).__name__}: {error}")
                return
        self._feed(i.Recovered(attempt=attempt))
        self._wait_for_end(attempt)

    def _is_final(self, error: DriverError) -> bool:
        """Whether the driver knows; one that cannot work at present (no supervisor, no engine) does not."""
        name = self._placed().task(self._name).driver
        info = self._deps.drivers.infos.get(name)
        has_driver = self._deps.drivers.held(name) is not None
        return isinstance(error, TaskNotFound) or not has_driver or (info is not None and info.healthy)

    def _lost(self, attempt: int, why: str) -> None:
        rebooted = self._deps.rebooted
        message = (
            "The machine was restarted; the task starts again"
            if rebooted
            else f"exit status unknown: the task was gone when the agent came back ({why})"
        )
        self._feed(
            i.Lost(attempt=attempt, message=message, rebooted=rebooted, jitter=self._deps.random_.random())
        )

    async def _stop(self, effect: StopTask) -> None:
        timeout_s = effect.timeout_ns / 1e9
        tries = 0
        while self._waiter is not None and not self._waiter.done():
            try:
                await self.driver().stop(self.id_of(effect.attempt), effect.signal, timeout_s)
                return
            except Exception as error:
                tries += 1
                if tries == 1:
                    self._note(f"The driver could not stop the task and tries again: {error}")
                await self._again(f"stopping {self.id_of(effect.attempt)}", error, tries)

    async def _destroy(self, attempt: int) -> None:
        self._end_wait()
        tries = 0
        while True:
            try:
                await self.driver().destroy(self.id_of(attempt))
                return
            except TaskNotFound:
                return
            except Exception as error:
                if self._deps.drivers.held(self._placed().task(self._name).driver) is None:
                    log.error("task %s: %s; what it left cannot be removed", self.id_of(attempt), error)
                    return
                tries += 1
                if tries == 1:
                    self._note(f"The driver could not remove what the task left and tries again: {error}")
                await self._again(f"removing {self.id_of(attempt)}", error, tries)

    def _note(self, text: str) -> None:
        self._feed(i.Note(event=words.driver_note(self._deps.now_ns(), text)))

    async def _again(self, what: str, error: BaseException, tries: int) -> None:
        wait_s = backoff_s(
            tries, first_s=_RETRY_FIRST_S, max_s=_RETRY_MAX_S, random_=self._deps.random_ or random.Random()
        )
        log.warning("%s failed (try %d): %s; again in %.1f s", what, tries, error, wait_s)
        await asyncio.sleep(wait_s)
