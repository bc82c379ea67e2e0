"""The state machine of one allocation: which of its tasks run when, and how it ends. Pure.

Theory: phases go WAITING (for the predecessor) -> PREPARING -> RUNNING -> [DELAYING] -> KILLING -> POSTSTOP ->
CLEANING -> DONE; stages may be skipped, never gone back to. After each input `_advance` looks at all tasks and admits
or kills until nothing more follows. Tasks are killed in order: the leader, then the rest, sidecars last. The
allocation counts as complete or failed only when nothing of it is left on the node (DONE).

Not here: the tasks themselves (`task_core`), what the server is told (`report`).
Source: spec/nomad-surface.md A4; architecture.md "The node".
"""

from __future__ import annotations

from typing import Any

import msgspec

from daemon.model.errors import InvariantBroken
from daemon.model.tasks import TaskEvent
from daemon.node.runner import inputs as i
from daemon.node.runner import words
from daemon.node.runner.effects import (
    AwaitPredecessor,
    CancelTimer,
    Effect,
    Prepare,
    SetTimer,
    TearDown,
    Timer,
)
from daemon.node.runner.health import well_since_ns, why_not
from daemon.node.runner.records import AllocPhase, AllocRecord, Phase, TaskRecord
from daemon.node.runner.specs import SIDECARS, AllocSpec, Role
from daemon.node.runner.task_core import TaskCore

_ENDING = frozenset(
    {AllocPhase.DELAYING, AllocPhase.KILLING, AllocPhase.POSTSTOP, AllocPhase.CLEANING, AllocPhase.DONE}
)
_STARTED = frozenset({Phase.RUNNING, Phase.DELAYING, Phase.STOPPING, Phase.RESTARTING})


class AllocCore:
    """One allocation. Owned and stepped by its runner only."""

    def __init__(self, spec: AllocSpec, record: AllocRecord | None = None) -> None:
        self.spec = spec
        self.record = record or AllocRecord(deployment_id=spec.deployment_id)
        known = self.record.tasks
        self.tasks = {task.name: TaskCore(task, known.get(task.name, TaskRecord())) for task in spec.tasks}
        #: the HEALTHY timer is armed for this moment.
        self._healthy_at_ns = 0

    @property
    def ending(self) -> bool:
        """It is on its way out, or over."""
        return self.record.phase in _ENDING

    @property
    def failed(self) -> bool:
        """It has failed, or will have when it is done."""
        return self.record.failed or any(task.record.state.failed for task in self.tasks.values())

    def step(self, input: i.AllocInput, now_ns: int) -> list[Effect]:
        """Take one input and return what is to be done, in order.

        Raises: InvariantBroken when the input is not possible now.
        """
        effects = self._take(input, now_ns)
        effects += self._advance(now_ns)
        self._judge_health(now_ns, effects)
        self._sync()
        return effects

    def _sync(self) -> None:
        tasks = {name: task.record for name, task in self.tasks.items()}
        if tasks != self.record.tasks:
            self._set(tasks=tasks)

    def update(self, spec: AllocSpec, now_ns: int) -> list[Effect]:
        """Take the spec of an update in place. A new deployment judges health anew."""
        self.spec = spec
        for task in spec.tasks:
            if task.name in self.tasks:
                self.tasks[task.name].spec = task
        if spec.deployment_id == self.record.deployment_id:
            return []
        self._set(deployment_id=spec.deployment_id, healthy=None, healthy_at_ns=0, health_deadline_ns=0)
        self._healthy_at_ns = 0
        effects: list[Effect] = self._arm(now_ns) if self.record.phase == AllocPhase.RUNNING else []
        self._judge_health(now_ns, effects)
        self._sync()
        return effects

    def _set(self, **changes: Any) -> None:
        self.record = msgspec.structs.replace(self.record, **changes)

    def _of(self, *roles: Role) -> list[TaskCore]:
        return [task for task in self.tasks.values() if task.spec.role in roles]

    # inputs

    def _take(self, input: i.AllocInput, now_ns: int) -> list[Effect]:
        phase = self.record.phase
        match input:
            case i.ForTask():
                return self._for_task(input, now_ns)
            case i.Begin():
                for task in self.tasks.values():
                    task.step(i.Note(event=words.received(now_ns)), now_ns)
                return [AwaitPredecessor()] if self.spec.has_predecessor else self._prepare()
            case i.Resume():
                return self._resume(now_ns)
            case i.PredecessorDone():
                return self._prepare() if phase == AllocPhase.WAITING else []
            case i.Prepared():
                if phase != AllocPhase.PREPARING:
                    return []
                self._set(phase=AllocPhase.RUNNING)
                return self._arm(now_ns)
            case i.PrepareFailed():
                if phase == AllocPhase.PREPARING:
                    self._set(failed=True, description=input.message)
                    event = words.setup_failure(now_ns, input.message)
                    self._begin_kill(event, why="", no_delay=True)
                return []
            case i.Stop():
                return self._stop(input, now_ns)
            case i.GroupDelayOver():
                if phase == AllocPhase.DELAYING:
                    self._set(phase=AllocPhase.KILLING)
                return []
            case i.RunTooLong():
                if not self.ending:
                    self._set(failed=True, description="It ran longer than max_run_duration allows")
                    self._begin_kill(words.max_run(now_ns, self.spec.max_run_ns), why="")
                return []
            case i.HealthyLongEnough():
                since_ns = well_since_ns(self.tasks.values())
                if self._judging and since_ns is not None and self._healthy_at_ns:
                    self._set(healthy=True, healthy_at_ns=now_ns)
                return []
            case i.HealthDeadline():
                if self._judging:
                    self._unhealthy(
                        now_ns, f"Not healthy within healthy_deadline: {why_not(self.tasks.values())}"
                    )
                return []
            case i.TornDown():
                if phase == AllocPhase.CLEANING:
                    self._set(phase=AllocPhase.DONE, done_at_ns=now_ns)
                return []
            case _:
                raise InvariantBroken(f"an allocation cannot take {type(input).__name__}")

    def _for_task(self, input: i.ForTask, now_ns: int) -> list[Effect]:
        task = self.tasks.get(input.task)
        if task is None:
            raise InvariantBroken("no such task", task=input.task, alloc_id=self.spec.alloc_id)
        if isinstance(input.input, i.Restart) and self.ending:
            return []
        return task.step(input.input, now_ns)

    def _prepare(self) -> list[Effect]:
        self._set(phase=AllocPhase.PREPARING)
        return [Prepare()]

    def _arm(self, now_ns: int) -> list[Effect]:
        """Timers of a running allocation."""
        effects: list[Effect] = []
        if self.spec.max_run_ns:
            at_ns = (self.spec.created_ns or now_ns) + self.spec.max_run_ns
            effects.append(SetTimer(timer=Timer.MAX_RUN, at_ns=at_ns))
        if self.spec.health is not None and self.record.healthy is None:
            if not self.record.health_deadline_ns:
                self._set(health_deadline_ns=now_ns + self.spec.health.deadline_ns)
            effects.append(SetTimer(timer=Timer.HEALTH_DEADLINE, at_ns=self.record.health_deadline_ns))
        return effects

    def _resume(self, now_ns: int) -> list[Effect]:
        match self.record.phase:
            case AllocPhase.WAITING:
                return [AwaitPredecessor()] if self.spec.has_predecessor else self._prepare()
            case AllocPhase.PREPARING:
                return [Prepare()]
            case AllocPhase.CLEANING:
                return [TearDown()]
            case AllocPhase.DONE:
                return []
        effects: list[Effect] = [Prepare(again=True)]
        if self.record.phase == AllocPhase.RUNNING:
            effects += self._arm(now_ns)
        if self.record.phase == AllocPhase.DELAYING:
            effects.append(SetTimer(timer=Timer.GROUP_DELAY, at_ns=self.record.delay_until_ns))
        for task in self.tasks.values():
            effects += task.resume()
        return effects

    def _stop(self, input: i.Stop, now_ns: int) -> list[Effect]:
        phase = self.record.phase
        quick = input.no_delay or input.force
        if input.force:
            self._set(forced=True)
        if phase == AllocPhase.DELAYING and quick:
            self._set(phase=AllocPhase.KILLING, kill_no_delay=True)
            return [CancelTimer(timer=Timer.GROUP_DELAY)]
        if phase == AllocPhase.KILLING and quick and not self.record.kill_no_delay:
            self._set(kill_no_delay=True)
            return self._kill_all([task for task in self.tasks.values() if task.record.killed], now_ns)
        if self.ending:
            return []
        self._begin_kill(None, why=input.reason, no_delay=quick)
        delay_ns = self.spec.shutdown_delay_ns
        if phase != AllocPhase.RUNNING or not delay_ns or quick:
            return []
        self._set(phase=AllocPhase.DELAYING, delay_until_ns=now_ns + delay_ns)
        for task in self.tasks.values():
            if task.record.phase == Phase.RUNNING:
                task.step(i.Note(event=words.shutdown_delay(now_ns, delay_ns)), now_ns)
        return [SetTimer(timer=Timer.GROUP_DELAY, at_ns=now_ns + delay_ns)]

    def _begin_kill(self, event: TaskEvent | None, *, why: str, no_delay: bool = False) -> None:
        self._set(phase=AllocPhase.KILLING, kill_event=event, kill_why=why, kill_no_delay=no_delay)

    def _kill_all(self, tasks: list[TaskCore], now_ns: int) -> list[Effect]:
        record = self.record
        kill = i.Kill(
            reason=record.kill_event,
            why=record.kill_why,
            no_delay=record.kill_no_delay,
            # when the directories could not be made, no task has had a chance
            fails=record.failed and not record.started and record.kill_event is not None,
        )
        return [effect for task in tasks for effect in task.step(kill, now_ns)]

    # what follows from the states of the tasks

    def _advance(self, now_ns: int) -> list[Effect]:
        effects: list[Effect] = []
        if not self.record.started and any(task.record.phase in _STARTED for task in self._of(Role.MAIN)):
            self._set(started=True)
        if self.record.phase == AllocPhase.RUNNING:
            self._look_for_an_end(now_ns)
        if self.record.phase == AllocPhase.RUNNING:
            effects += self._admit(now_ns)
        if self.record.phase in (AllocPhase.KILLING, AllocPhase.DELAYING):
            effects += self._kill_next(now_ns)
        if self.record.phase == AllocPhase.POSTSTOP:
            effects += self._poststop(now_ns)
        return effects

    def _look_for_an_end(self, now_ns: int) -> None:
        """Begin to kill when a task has failed, the leader is dead, or all main tasks are over."""
        others = [task for task in self.tasks.values() if task.spec.role != Role.POSTSTOP]
        dead = [task for task in others if task.record.phase == Phase.DEAD]
        failed = next((task for task in dead if task.record.state.failed), None)
        leader = next((task for task in dead if task.spec.leader), None)
        if failed is not None:
            self._begin_kill(words.sibling_failed(now_ns, failed.spec.name), why="")
        elif leader is not None:
            self._begin_kill(words.leader_dead(now_ns, leader.spec.name), why="")
        elif all(task.record.phase == Phase.DEAD for task in self._of(Role.MAIN)):
            self._begin_kill(words.main_dead(now_ns), why="")

    def _admit(self, now_ns: int) -> list[Effect]:
        """Let tasks start whose turn has come."""
        ready = self._of(Role.PRESTART, Role.PRESTART_SIDECAR)
        first = all(task.record.state.successful for task in self._of(Role.PRESTART))
        sidecars = all(task.record.state.started_at_ns for task in self._of(Role.PRESTART_SIDECAR))
        if first and sidecars:
            ready += self._of(Role.MAIN)
            if all(task.record.state.started_at_ns for task in self._of(Role.MAIN)):
                ready += self._of(Role.POSTSTART, Role.POSTSTART_SIDECAR)
        return [
            effect
            for task in ready
            if task.record.phase == Phase.WAITING
            for effect in task.step(i.Admit(), now_ns)
        ]

    def _kill_next(self, now_ns: int) -> list[Effect]:
        """Kill the next stage of tasks that still live; when none does, go on to the poststop tasks."""
        others = [task for task in self.tasks.values() if task.spec.role != Role.POSTSTOP]
        if self.record.phase == AllocPhase.DELAYING:
            if any(task.record.phase != Phase.DEAD for task in others):
                return []
            self._set(phase=AllocPhase.KILLING)
        stages = (
            [task for task in others if task.spec.leader],
            [task for task in others if not task.spec.leader and task.spec.role not in SIDECARS],
            others,
        )
        effects: list[Effect] = []
        for stage in stages:
            alive = [task for task in stage if task.record.phase != Phase.DEAD]
            effects += self._kill_all([task for task in alive if not task.record.killed], now_ns)
            if any(task.record.phase != Phase.DEAD for task in stage):
                return effects
        self._set(phase=AllocPhase.POSTSTOP)
        return effects

    def _poststop(self, now_ns: int) -> list[Effect]:
        effects: list[Effect] = []
        tasks = self._of(Role.POSTSTOP)
        wanted = self.record.started and not self.record.forced
        for task in tasks:
            if task.record.phase == Phase.WAITING and wanted:
                effects += task.step(i.Admit(), now_ns)
            elif task.record.phase != Phase.DEAD and not task.record.killed and not wanted:
                effects += task.step(i.Kill(why=self.record.kill_why, no_delay=True), now_ns)
        if all(task.record.phase == Phase.DEAD for task in tasks):
            self._set(phase=AllocPhase.CLEANING)
            effects.append(TearDown())
        return effects

    # health

    @property
    def _judging(self) -> bool:
        return (
            self.spec.health is not None
            and self.record.healthy is None
            and self.record.phase == AllocPhase.RUNNING
        )

    def _judge_health(self, now_ns: int, effects: list[Effect]) -> None:
        """Arm or disarm the HEALTHY timer; an allocation that failed before it was healthy is unhealthy."""
        health = self.spec.health
        if health is None or self.record.healthy is not None:
            return
        if self.ending and self.failed:
            self._unhealthy(now_ns, "The allocation has failed before it was healthy")
            return
        since_ns = well_since_ns(self.tasks.values()) if self._judging else None
        at_ns = 0 if since_ns is None else since_ns + health.min_healthy_ns
        if at_ns == self._healthy_at_ns:
            return
        self._healthy_at_ns = at_ns
        if at_ns:
            effects.append(SetTimer(timer=Timer.HEALTHY, at_ns=at_ns))
        else:
            effects.append(CancelTimer(timer=Timer.HEALTHY))

    def _unhealthy(self, now_ns: int, reason: str) -> None:
        self._set(healthy=False, healthy_at_ns=now_ns)
        for task in self._of(Role.MAIN):
            task.step(i.Note(event=words.unhealthy(now_ns, reason)), now_ns)
