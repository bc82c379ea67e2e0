"""The state machine of one task on its node. Pure.

Theory: `step(input, now_ns)` replaces the record and returns the effects. The table of legal moves is `_MOVES`;
what is not in it is a bug and raises. Answers of an earlier attempt are late, not illegal, and are dropped.
An attempt goes STARTING -> RUNNING -> ENDING (its traces are removed) and only then is a new one launched or the task
dead: what an attempt held is free before anybody is told so. A killed task is never started again.

Not here: which task may start when, and why one is killed (`alloc_core`).
Source: architecture.md "The node".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from daemon.model.enums import TaskStateName
from daemon.model.errors import InvariantBroken
from daemon.model.tasks import TaskEvent
from daemon.node.runner import inputs as i
from daemon.node.runner import words
from daemon.node.runner.effects import (
    Abort,
    CancelTimer,
    Destroy,
    Effect,
    Launch,
    Recover,
    SetTimer,
    StopTask,
    Timer,
)
from daemon.node.runner.records import After, Phase, TaskRecord
from daemon.node.runner.restarts import Verdict, decide
from daemon.node.runner.specs import TaskSpec
from plugins.driver import ExitResult

_STATE_NAMES = {
    Phase.WAITING: TaskStateName.PENDING,
    Phase.STARTING: TaskStateName.PENDING,
    Phase.ABORTING: TaskStateName.PENDING,
    Phase.BACKOFF: TaskStateName.PENDING,
    Phase.ENDING: TaskStateName.PENDING,
    Phase.RUNNING: TaskStateName.RUNNING,
    Phase.DELAYING: TaskStateName.RUNNING,
    Phase.STOPPING: TaskStateName.RUNNING,
    Phase.RESTARTING: TaskStateName.RUNNING,
    Phase.DEAD: TaskStateName.DEAD,
}


class TaskCore:
    """One task. Owned and stepped by the allocation's core only."""

    def __init__(self, spec: TaskSpec, record: TaskRecord) -> None:
        self.spec = spec
        self.record = record

    def step(self, input: i.TaskInput, now_ns: int) -> list[Effect]:
        """Take one input.

        Raises: InvariantBroken when the input is not possible in the present phase.
        """
        if isinstance(input, i.Note):
            self._event(input.event)
            return []
        attempt = getattr(input, "attempt", None)
        if attempt is not None and attempt != self.record.attempt:
            return []
        move = _MOVES.get((self.record.phase, type(input)))
        if move is None:
            raise InvariantBroken(
                f"task {self.spec.name!r} cannot take {type(input).__name__} while it is {self.record.phase}",
                task=self.spec.name,
                phase=str(self.record.phase),
                attempt=self.record.attempt,
            )
        return move(self, input, now_ns)

    def resume(self) -> list[Effect]:
        """The effects with which a task goes on that was read back from the disk."""
        record = self.record
        match record.phase:
            case Phase.STARTING:
                return [self._launch()]
            case Phase.ABORTING:
                return [Abort(task=self.spec.name, attempt=record.attempt)]
            case Phase.RUNNING | Phase.DELAYING | Phase.STOPPING | Phase.RESTARTING:
                if record.handle is None:
                    raise InvariantBroken("a running task has no handle", task=self.spec.name)
                return [Recover(task=self.spec.name, attempt=record.attempt, handle=record.handle)]
            case Phase.ENDING:
                return [self._destroy()]
            case Phase.BACKOFF:
                return [SetTimer(task=self.spec.name, timer=Timer.RESTART, at_ns=record.restart_at_ns)]
            case _:
                return []

    # how the record changes

    def _set(self, **changes: Any) -> None:
        self.record = msgspec.structs.replace(self.record, **changes)

    def _phase(self, phase: Phase, **changes: Any) -> None:
        state = self.record.state
        name = _STATE_NAMES[phase]
        if phase == Phase.ENDING and (self.record.killed or self.record.after == After.DEAD):
            name = state.state  # dead only when its traces are gone
        if name != state.state:
            state = msgspec.structs.replace(state, state=name)
        self._set(phase=phase, state=state, **changes)

    def _event(self, event: TaskEvent) -> None:
        state = self.record.state
        self._set(state=msgspec.structs.replace(state, events=words.with_event(state, event)))

    def _state(self, **changes: Any) -> None:
        self._set(state=msgspec.structs.replace(self.record.state, **changes))

    # effects on the present attempt

    def _launch(self) -> Launch:
        return Launch(task=self.spec.name, attempt=self.record.attempt)

    def _destroy(self) -> Destroy:
        return Destroy(task=self.spec.name, attempt=self.record.attempt)

    def _stop_effect(self) -> StopTask:
        return StopTask(
            task=self.spec.name,
            attempt=self.record.attempt,
            signal=self.spec.kill_signal,
            timeout_ns=self.spec.kill_timeout_ns,
        )

    def _start(self, now_ns: int) -> list[Effect]:
        self._phase(Phase.STARTING, attempt=self.record.attempt + 1, handle=None, after=After.NOTHING)
        if self.record.attempt == 1:
            self._event(words.setup(now_ns))
        return [self._launch()]

    def _dead(self, now_ns: int) -> None:
        self._phase(Phase.DEAD, handle=None, after=After.NOTHING)
        self._state(finished_at_ns=now_ns)

    def _begin_stop(self, now_ns: int) -> list[Effect]:
        self._phase(Phase.STOPPING)
        why = self.record.kill_why
        self._event(words.killing(now_ns, self.spec.kill_signal, self.spec.kill_timeout_ns, why))
        return [self._stop_effect()]

    # moves

    def _admit(self, _input: i.Admit, now_ns: int) -> list[Effect]:
        return self._start(now_ns)

    def _launched(self, input: i.Launched, now_ns: int) -> list[Effect]:
        aborting = self.record.phase == Phase.ABORTING
        self._phase(Phase.RUNNING, handle=input.handle)
        self._event(words.started(now_ns))
        self._state(started_at_ns=now_ns)
        return self._begin_stop(now_ns) if aborting else []

    def _launch_failed(self, input: i.LaunchFailed, now_ns: int) -> list[Effect]:
        make = words.setup_failure if input.setup else words.driver_failure
        self._event(make(now_ns, input.message))
        return self._ended(
            now_ns, successful=False, recoverable=input.recoverable, jitter=input.jitter, started=False
        )

    def _aborted(self, _input: i.Aborted, now_ns: int) -> list[Effect]:
        self._event(words.killed(now_ns))
        self._dead(now_ns)
        return []

    def _recovered(self, _input: i.Recovered, _now_ns: int) -> list[Effect]:
        if self.record.phase in (Phase.STOPPING, Phase.RESTARTING):
            return [self._stop_effect()]
        if self.record.phase == Phase.DELAYING:
            return [SetTimer(task=self.spec.name, timer=Timer.SHUTDOWN_DELAY, at_ns=self.record.stop_at_ns)]
        return []

    def _lost(self, input: i.Lost, now_ns: int) -> list[Effect]:
        if not input.rebooted or self.record.phase not in (Phase.RUNNING, Phase.RESTARTING):
            result = ExitResult(error=input.message)
            return self._exited(i.Exited(attempt=input.attempt, result=result, jitter=input.jitter), now_ns)
        self._event(words.restarting(now_ns, 0, input.message))
        self._phase(Phase.ENDING, after=After.LAUNCH, handle=None)
        self._state(restarts=self.record.state.restarts + 1, last_restart_ns=now_ns)
        return [self._destroy()]

    def _exited(self, input: i.Exited, now_ns: int) -> list[Effect]:
        self._event(words.terminated(now_ns, input.result))
        if self.record.phase == Phase.RESTARTING and not self.record.killed:
            self._phase(Phase.ENDING, after=After.LAUNCH, handle=None)
            self._event(words.restarting(now_ns, 0, "Restarted by a user"))
            self._state(restarts=self.record.state.restarts + 1, last_restart_ns=now_ns)
            return [self._destroy()]
        return self._ended(
            now_ns, successful=input.result.successful, recoverable=True, jitter=input.jitter, started=True
        )

    def _ended(
        self, now_ns: int, *, successful: bool, recoverable: bool, jitter: float, started: bool
    ) -> list[Effect]:
        """The attempt is over: judge it, then have its traces removed."""
        effects: list[Effect] = [self._destroy()]
        if self.record.phase == Phase.DELAYING:
            effects.append(CancelTimer(task=self.spec.name, timer=Timer.SHUTDOWN_DELAY))
        if self.record.killed:
            if started:
                self._event(words.killed(now_ns))
            self._phase(Phase.ENDING, after=After.DEAD, handle=None)
            return effects
        verdict = decide(
            self.spec.policy,
            self.record.window,
            now_ns=now_ns,
            successful=successful,
            recoverable=recoverable,
            on_success=self.spec.on_success,
            jitter=jitter,
        )
        self._judged(verdict, now_ns)
        return effects

    def _judged(self, verdict: Verdict, now_ns: int) -> None:
        if verdict.restart:
            self._event(words.restarting(now_ns, verdict.delay_ns, verdict.reason))
            self._state(restarts=self.record.state.restarts + 1, last_restart_ns=now_ns)
            self._phase(
                Phase.ENDING,
                after=After.BACKOFF,
                window=verdict.window,
                restart_at_ns=now_ns + verdict.delay_ns,
                handle=None,
            )
            return
        if verdict.failed:
            self._event(words.not_restarting(now_ns, verdict.reason, fails=True))
        self._state(failed=verdict.failed)
        self._set(after=After.DEAD)
        self._phase(Phase.ENDING, handle=None)

    def _destroyed(self, _input: i.Destroyed, now_ns: int) -> list[Effect]:
        if self.record.killed or self.record.after == After.DEAD:
            self._dead(now_ns)
            return []
        if self.record.after == After.LAUNCH:
            return self._start(now_ns)
        self._phase(Phase.BACKOFF, after=After.NOTHING)
        return [SetTimer(task=self.spec.name, timer=Timer.RESTART, at_ns=self.record.restart_at_ns)]

    def _restart_due(self, _input: i.RestartDue, now_ns: int) -> list[Effect]:
        return self._start(now_ns)

    def _delay_over(self, _input: i.ShutdownDelayOver, now_ns: int) -> list[Effect]:
        return self._begin_stop(now_ns)

    def _late_timer(self, _input: i.TaskInput, _now_ns: int) -> list[Effect]:
        return []

    def _kill(self, input: i.Kill, now_ns: int) -> list[Effect]:
        before = self.record
        if before.phase == Phase.DEAD:
            return []
        if input.reason is not None and not before.killed:
            self._event(input.reason)
        self._set(killed=True, kill_why=before.kill_why or input.why)
        if input.fails:
            self._state(failed=True)
        match before.phase:
            case Phase.WAITING:
                self._dead(now_ns)
                return []
            case Phase.BACKOFF:
                self._event(words.killed(now_ns))
                self._dead(now_ns)
                return [CancelTimer(task=self.spec.name, timer=Timer.RESTART)]
            case Phase.STARTING:
                self._phase(Phase.ABORTING)
                return [Abort(task=self.spec.name, attempt=before.attempt)]
            case Phase.RUNNING if self.spec.shutdown_delay_ns and not input.no_delay:
                stop_at_ns = now_ns + self.spec.shutdown_delay_ns
                self._phase(Phase.DELAYING, stop_at_ns=stop_at_ns)
                self._event(words.shutdown_delay(now_ns, self.spec.shutdown_delay_ns))
                return [SetTimer(task=self.spec.name, timer=Timer.SHUTDOWN_DELAY, at_ns=stop_at_ns)]
            case Phase.RUNNING:
                return self._begin_stop(now_ns)
            case Phase.DELAYING if input.no_delay:
                cancel = CancelTimer(task=self.spec.name, timer=Timer.SHUTDOWN_DELAY)
                return [cancel, *self._begin_stop(now_ns)]
            case Phase.RESTARTING:
                self._phase(Phase.STOPPING)  # the driver is stopping it already
                return []
            case Phase.ENDING:
                self._phase(Phase.ENDING, after=After.DEAD)
                return []
            case _:
                return []

    def _restart(self, input: i.Restart, now_ns: int) -> list[Effect]:
        phase = self.record.phase
        if self.record.killed or (phase == Phase.DEAD and not input.even_dead):
            return []
        self._event(words.restart_signaled(now_ns, input.reason))
        if phase == Phase.RUNNING:
            self._phase(Phase.RESTARTING)
            return [self._stop_effect()]
        if phase == Phase.BACKOFF:
            return [CancelTimer(task=self.spec.name, timer=Timer.RESTART), *self._start(now_ns)]
        if phase == Phase.DEAD:
            self._state(failed=False, finished_at_ns=0)
            return self._start(now_ns)
        return []


_Move = Callable[[TaskCore, Any, int], list[Effect]]
_T = TaskCore

#: the legal moves. Kill and Restart are legal everywhere and look at the phase themselves.
_MOVES: dict[tuple[Phase, type[i.Input]], _Move] = {
    (Phase.WAITING, i.Admit): _T._admit,
    (Phase.STARTING, i.Launched): _T._launched,
    (Phase.STARTING, i.LaunchFailed): _T._launch_failed,
    (Phase.ABORTING, i.Launched): _T._launched,
    (Phase.ABORTING, i.LaunchFailed): _T._launch_failed,
    (Phase.ABORTING, i.Aborted): _T._aborted,
    **{
        (phase, kind): move
        for phase in (Phase.RUNNING, Phase.DELAYING, Phase.STOPPING, Phase.RESTARTING)
        for kind, move in ((i.Exited, _T._exited), (i.Recovered, _T._recovered), (i.Lost, _T._lost))
    },
    (Phase.ENDING, i.Destroyed): _T._destroyed,
    (Phase.BACKOFF, i.RestartDue): _T._restart_due,
    (Phase.DELAYING, i.ShutdownDelayOver): _T._delay_over,
    # a timer that fires while it is being disarmed is late, not wrong
    **{(phase, i.RestartDue): _T._late_timer for phase in Phase if phase != Phase.BACKOFF},
    **{(phase, i.ShutdownDelayOver): _T._late_timer for phase in Phase if phase != Phase.DELAYING},
    **{(phase, i.Kill): _T._kill for phase in Phase},
    **{(phase, i.Restart): _T._restart for phase in Phase},
}
