"""The shell around an allocation's core: stores its record, does its effects, reports its state.

Theory: one loop takes inputs in order. All that wait are stepped, the record is stored, and only then the effects
happen and the server is told. When the record cannot be stored (a full disk), nothing new is started: a launch fails
in words instead; stopping and removing goes on, because doing that twice harms nobody.

Source: architecture.md "The node".
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import deque

from daemon.aio.scope import Scope
from daemon.model.alloc import Allocation
from daemon.model.errors import Conflict, EncampError, InvalidInput, NotFound
from daemon.node.disk.layout import AllocLayout
from daemon.node.disk.prepare import TaskDirs, explain, move_sticky, prepare, tear_down
from daemon.node.runner import inputs as i
from daemon.node.runner import words
from daemon.node.runner.alloc_core import AllocCore
from daemon.node.runner.deps import RunnerDeps
from daemon.node.runner.effects import (
    AwaitPredecessor,
    CancelTimer,
    Effect,
    Launch,
    Prepare,
    SetTimer,
    TaskEffect,
    TearDown,
    Timer,
)
from daemon.node.runner.records import AllocPhase, AllocRecord, Phase
from daemon.node.runner.specs import AllocSpec, alloc_spec
from daemon.node.runner.status import client_update
from daemon.node.runner.task_hand import TaskHand
from daemon.node.runner.taskconfig import Placed
from daemon.node.runner.timers import Timers
from plugins.driver import DriverError

log = logging.getLogger("encamp.node")

#: a record that could not be stored is tried again this often.
_DIRTY_S = 1.0
#: driver messages that may wait; more are dropped, they are only words.
_NOTES_MAX = 256


class AllocRunner:
    """Runs one allocation until nothing of it is left on the node."""

    def __init__(self, placed: Placed, deps: RunnerDeps, record: AllocRecord | None = None) -> None:
        self.placed = placed
        self._deps = deps
        self.layout = AllocLayout(deps.alloc_dir, placed.alloc.id)
        self.core = AllocCore(self._spec(placed), record)
        self._restored = record is not None
        self._inputs: deque[i.AllocInput | Placed] = deque()
        self._woken = asyncio.Event()
        self._scope = Scope(f"alloc {placed.alloc.id[:8]}")
        self._hands: dict[str, TaskHand] = {}
        self._timers = Timers(self._timer)
        self._reported: Allocation | None = None
        #: what is on the disk has not everything that the core has.
        self._dirty = False
        #: the allocation itself must be stored too, not only its record.
        self._whole = record is None
        #: set when the allocation is done.
        self.done = asyncio.Event()
        if self.core.record.phase == AllocPhase.DONE:
            self.done.set()

    @property
    def alloc_id(self) -> str:
        """Id of the allocation."""
        return self.placed.alloc.id

    def _spec(self, placed: Placed) -> AllocSpec:
        return alloc_spec(
            placed.alloc, placed.job, placed.group, max_kill_timeout_ns=self._deps.max_kill_timeout_ns
        )

    # inputs

    def feed(self, input: i.AllocInput | Placed) -> None:
        """Take an input; a Placed is an update of the allocation by the servers."""
        note = isinstance(input, i.ForTask) and isinstance(input.input, i.Note)
        if note and len(self._inputs) >= _NOTES_MAX:
            return
        self._inputs.append(input)
        self._woken.set()

    def stop(self, reason: str, *, no_delay: bool = False, force: bool = False) -> None:
        """Ask for the end of the allocation."""
        self.feed(i.Stop(reason=reason, no_delay=no_delay, force=force))

    def _timer(self, task: str, timer: Timer) -> None:
        inputs: dict[Timer, i.AllocInput] = {
            Timer.RESTART: i.ForTask(task=task, input=i.RestartDue()),
            Timer.SHUTDOWN_DELAY: i.ForTask(task=task, input=i.ShutdownDelayOver()),
            Timer.GROUP_DELAY: i.GroupDelayOver(),
            Timer.HEALTHY: i.HealthyLongEnough(),
            Timer.HEALTH_DEADLINE: i.HealthDeadline(),
            Timer.MAX_RUN: i.RunTooLong(),
        }
        self.feed(inputs[timer])

    # life

    async def run(self) -> None:
        """Run until the allocation is done. Cancelled, it leaves its tasks running."""
        try:
            if not self.done.is_set():
                self._make_hands()
                self._inputs.appendleft(i.Resume() if self._restored else i.Begin())
                self._woken.set()
                while not self.done.is_set():
                    await self._turn()
            self._report()
        finally:
            self._timers.close()
            await self._scope.close()

    def _make_hands(self) -> None:
        for name in self.core.tasks:
            self._hands[name] = TaskHand(
                name,
                placed=lambda: self.placed,
                layout=self.layout,
                deps=self._deps,
                feed=lambda input, task=name: self.feed(i.ForTask(task=task, input=input)),  # type: ignore[misc]
                scope=self._scope,
            )

    async def _turn(self) -> None:
        """Wait for inputs, step, store, act, report."""
        try:
            async with asyncio.timeout(_DIRTY_S if self._dirty else None):
                await self._woken.wait()
        except TimeoutError:
            pass  # try again to store what could not be
        self._woken.clear()
        effects: list[Effect] = []
        before = self.core.record
        while self._inputs:
            input = self._inputs.popleft()
            if isinstance(input, Placed):
                effects += self._update(input)
                self._whole = True
            else:
                effects += self.core.step(input, self._deps.now_ns())
        if self._whole or self._dirty or self.core.record is not before:
            effects = await self._store(effects)
        for effect in effects:
            await self._do(effect)
        self._report()
        if self.core.record.phase == AllocPhase.DONE and not self._dirty:
            self.done.set()

    def _update(self, placed: Placed) -> list[Effect]:
        self.placed = placed
        alloc = placed.alloc
        effects = self.core.update(self._spec(placed), self._deps.now_ns())
        if alloc.server_terminal:
            reason = alloc.desired_description or f"The servers want it to {alloc.desired_status}"
            stop = i.Stop(reason=reason, no_delay=alloc.desired_transition.no_shutdown_delay)
            effects += self.core.step(stop, self._deps.now_ns())
        return effects

    async def _store(self, effects: list[Effect]) -> list[Effect]:
        """Store the record; returns the effects that may happen."""
        try:
            if self._whole:
                await self._deps.store.put_alloc(self.placed.alloc, self.placed.job, self.core.record)
            else:
                await self._deps.store.put_record(self.alloc_id, self.core.record)
            self._dirty = self._whole = False
            return effects
        except (sqlite3.Error, EncampError) as error:
            if not self._dirty:
                log.error("allocation %s: its state cannot be stored: %s", self.alloc_id, error)
            self._dirty = True
            message = (
                f"The node's local state cannot be written ({error}); free space on the agent's data disk"
            )
        allowed: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Launch):
                failed = i.LaunchFailed(
                    attempt=effect.attempt,
                    message=message,
                    recoverable=True,
                    setup=True,
                    jitter=self._deps.random_.random(),
                )
                self.feed(i.ForTask(task=effect.task, input=failed))
            else:
                allowed.append(effect)
        return allowed

    # effects

    async def _do(self, effect: Effect) -> None:
        match effect:
            case TaskEffect():
                self._hands[effect.task].do(effect)
            case SetTimer():
                self._timers.set(effect.task, effect.timer, (effect.at_ns - self._deps.now_ns()) / 1e9)
            case CancelTimer():
                self._timers.cancel(effect.task, effect.timer)
            case AwaitPredecessor():
                self._scope.spawn(self._await_predecessor(), "predecessor")
            case Prepare():
                await self._prepare(again=effect.again)
            case TearDown():
                await self._tear_down()
            case _:
                raise TypeError(f"no hand for {type(effect).__name__}")

    async def _await_predecessor(self) -> None:
        await self._deps.predecessor_done(self.placed.alloc.previous_allocation)
        self.feed(i.PredecessorDone())

    async def _prepare(self, *, again: bool) -> None:
        try:
            await asyncio.to_thread(self._prepare_blocking, again)
        except (OSError, LookupError) as error:
            message = explain(error, self.layout)
            if again:
                log.error("allocation %s: %s", self.alloc_id, message)
            else:
                self.feed(i.PrepareFailed(message=message))
            return
        if not again:
            self.feed(i.Prepared())

    def _prepare_blocking(self, again: bool) -> None:
        dirs = []
        for task in self.placed.group.tasks:
            driver = self._deps.drivers.held(task.driver)
            isolated = driver is not None and driver.capabilities.fs_isolation != "none"
            user = "" if "${" in task.user else task.user
            dirs.append(
                TaskDirs(name=task.name, user=user, isolated=isolated, secrets_mb=task.resources.secrets_mb)
            )
        prepare(self.layout, tuple(dirs))
        previous = self.placed.alloc.previous_allocation
        if not again and previous and self.placed.group.ephemeral_disk.sticky:
            names = tuple(task.name for task in self.placed.group.tasks)
            move_sticky(AllocLayout(self._deps.alloc_dir, previous), self.layout, names)

    async def _tear_down(self) -> None:
        try:
            await asyncio.to_thread(tear_down, self.layout)
        except OSError as error:
            log.error("allocation %s: a mount cannot be taken away: %s", self.alloc_id, error)
        self.feed(i.TornDown())

    def _report(self) -> None:
        update = client_update(self.core, self.placed.alloc)
        if update != self._reported:
            self._reported = update
            self._deps.report(update)

    def report_again(self) -> None:
        """Tell the server the present state whether or not it has changed."""
        self._reported = None
        self._report()

    # what users ask for

    def running(self, task: str) -> tuple[TaskHand, str]:
        """The hand of a running task and the driver's id of its present attempt. Raises NotFound, Conflict."""
        core = self.core.tasks.get(task)
        if core is None:
            known = ", ".join(sorted(self.core.tasks))
            raise NotFound(f"allocation {self.alloc_id} has no task {task!r} (it has: {known})")
        hand = self._hands.get(task)
        if hand is None or core.record.phase not in (Phase.RUNNING, Phase.DELAYING):
            raise Conflict(f"task {task!r} of allocation {self.alloc_id} is not running")
        return hand, hand.id_of(core.record.attempt)

    def restart(self, task: str, *, all_tasks: bool, reason: str) -> None:
        """Restart one task, the running ones (""), or all, ended ones too. Raises NotFound, Conflict."""
        if self.core.ending:
            raise Conflict(f"allocation {self.alloc_id} is ending or has ended; it cannot be restarted")
        if task:
            if task not in self.core.tasks or self.core.tasks[task].record.phase != Phase.BACKOFF:
                self.running(task)
            self.feed(i.ForTask(task=task, input=i.Restart(reason=reason)))
            return
        for name, core in self.core.tasks.items():
            wanted = core.record.phase in (Phase.RUNNING, Phase.BACKOFF)
            if wanted or (all_tasks and core.record.phase == Phase.DEAD):
                self.feed(i.ForTask(task=name, input=i.Restart(reason=reason, even_dead=all_tasks)))

    async def signal(self, task: str, signal: str, reason: str) -> None:
        """Send a signal to one running task or all. Raises NotFound, Conflict, InvalidInput."""
        names = [task] if task else [n for n, c in self.core.tasks.items() if c.record.phase == Phase.RUNNING]
        if not names:
            raise Conflict(f"no task of allocation {self.alloc_id} is running")
        for name in names:
            hand, id_ = self.running(name)
            if not hand.driver().capabilities.send_signals:
                raise InvalidInput(f"driver {hand.driver().name!r} of task {name!r} cannot send signals")
            try:
                await hand.driver().signal(id_, signal)
            except DriverError as error:
                raise InvalidInput(
                    f"signal {signal} was not sent to task {name!r}: {error.message}"
                ) from error
            event = words.signaling(self._deps.now_ns(), signal, reason)
            self.feed(i.ForTask(task=name, input=i.Note(event=event)))
