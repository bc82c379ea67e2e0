"""The runner's cores under random lives: tasks that end, launches that fail, kills, restarts by hand, and crashes of
the agent between any two steps. A small model of driver and shell stands below."""

from __future__ import annotations

from collections import deque
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.model.base import decode, encode
from daemon.model.enums import ClientStatus
from daemon.model.policies import SECOND, RestartPolicy
from daemon.node.runner import effects as e
from daemon.node.runner import inputs as i
from daemon.node.runner.alloc_core import AllocCore
from daemon.node.runner.records import AllocPhase, AllocRecord, Phase
from daemon.node.runner.specs import AllocSpec, HealthSpec, Role, TaskSpec
from daemon.node.runner.status import client_status
from plugins.driver import ExitResult, TaskHandle


class World:
    """Driver and shell of one allocation; checks the invariants at each step."""

    def __init__(self, spec: AllocSpec) -> None:
        self.spec = spec
        self.core = AllocCore(spec)
        self.now_s = 1000
        #: attempts that the driver holds: task -> {attempt: "runs" | exit code}.
        self.held: dict[str, dict[int, object]] = {task.name: {} for task in spec.tasks}
        self.queues: dict[str, deque] = {}
        self.inputs: deque = deque()
        self.timers: dict = {}
        self.watched: set[tuple[str, int]] = set()
        self.answered: dict[str, int] = {}
        self.stored = encode(self.core.record)
        self.starts = 0
        self.destroyed: set[tuple[str, int]] = set()
        self.statuses = [ClientStatus.PENDING]
        self.prepared = False
        self.reset()
        self.feed(i.Begin())

    def reset(self) -> None:
        self.queues = {task.name: deque() for task in self.spec.tasks}
        self.inputs.clear()
        self.timers.clear()
        self.watched.clear()
        self.answered.clear()

    def crash(self) -> None:
        self.reset()
        self.core = AllocCore(self.spec, decode(self.stored, AllocRecord))
        self.feed(i.Resume())

    # the shell

    def feed(self, input) -> None:
        self.inputs.append(input)

    def turn(self, crash_before_effects: bool = False) -> None:
        if not self.inputs:
            return
        effects = self.core.step(self.inputs.popleft(), self.now_s * SECOND)
        self.stored = encode(self.core.record)
        status = client_status(self.core)
        if status != self.statuses[-1]:
            self.statuses.append(status)
        if crash_before_effects:
            self.crash()
            return
        for effect in effects:
            self.do(effect)
        self.check()

    def do(self, effect) -> None:
        match effect:
            case e.SetTimer():
                self.timers[effect.task, effect.timer] = True
            case e.CancelTimer():
                self.timers.pop((effect.task, effect.timer), None)
            case e.AwaitPredecessor():
                self.feed(i.PredecessorDone())
            case e.Prepare():
                if not effect.again:
                    self.feed(i.Prepared())
            case e.TearDown():
                self.feed(i.TornDown())
            case e.TaskEffect():
                if isinstance(effect, e.Launch):
                    assert not self.core.tasks[effect.task].record.killed, "a killed task starts again"
                self.queues[effect.task].append(effect)

    def task(self, name, input) -> None:
        self.feed(i.ForTask(task=name, input=input))

    def hand(self, name: str, choice: int) -> None:
        """Do the next effect of a task."""
        if not self.queues[name]:
            return
        effect = self.queues[name].popleft()
        held, attempt = self.held[name], effect.attempt
        match effect:
            case e.Launch():
                aborted = any(isinstance(later, e.Abort) for later in self.queues[name])
                if aborted and choice % 2:
                    if choice % 4 == 1:
                        held[attempt] = "runs"  # it had begun when it was cancelled
                    return
                assert (name, attempt) not in self.destroyed, "an attempt's number is used again"
                self.answered[name] = attempt
                if choice % 5 == 4 and attempt not in held:
                    self.task(
                        name, i.LaunchFailed(attempt=attempt, message="no", recoverable=choice % 2 == 0)
                    )
                    return
                assert not [other for other in held if other != attempt], "two attempts at once"
                if attempt not in held:
                    held[attempt] = "runs"
                    self.starts += 1
                self.watched.add((name, attempt))
                handle = TaskHandle(driver="d", task_id=f"{name}/{attempt}")
                self.task(name, i.Launched(attempt=attempt, handle=handle))
            case e.Recover():
                self.answered[name] = attempt
                if attempt in held:
                    self.watched.add((name, attempt))
                    self.task(name, i.Recovered(attempt=attempt))
                else:
                    self.task(name, i.Lost(attempt=attempt, message="gone", rebooted=choice % 2 == 0))
            case e.Abort():
                if self.answered.get(name) != attempt:
                    held.pop(attempt, None)
                    self.task(name, i.Aborted(attempt=attempt))
            case e.StopTask():
                if held.get(attempt) == "runs":
                    held[attempt] = 137
            case e.Destroy():
                self.watched.discard((name, attempt))
                held.pop(attempt, None)
                self.destroyed.add((name, attempt))
                self.task(name, i.Destroyed(attempt=attempt))

    def end(self, name: str, code: int) -> None:
        """A task ends by itself."""
        for attempt, state in self.held[name].items():
            if state == "runs":
                self.held[name][attempt] = code

    def wait(self, name: str) -> None:
        """The waiter of a task sees its end."""
        for attempt, state in self.held[name].items():
            if state != "runs" and (name, attempt) in self.watched:
                self.watched.discard((name, attempt))
                self.task(name, i.Exited(attempt=attempt, result=ExitResult(exit_code=state)))

    def fire(self, choice: int) -> None:
        if not self.timers:
            return
        task, timer = sorted(self.timers)[choice % len(self.timers)]
        del self.timers[task, timer]
        self.now_s += 30
        match timer:
            case e.Timer.RESTART:
                self.task(task, i.RestartDue())
            case e.Timer.SHUTDOWN_DELAY:
                self.task(task, i.ShutdownDelayOver())
            case e.Timer.GROUP_DELAY:
                self.feed(i.GroupDelayOver())
            case e.Timer.HEALTHY:
                self.feed(i.HealthyLongEnough())
            case e.Timer.HEALTH_DEADLINE:
                self.feed(i.HealthDeadline())
            case e.Timer.MAX_RUN:
                self.feed(i.RunTooLong())

    # invariants

    def check(self) -> None:
        order = [ClientStatus.PENDING, ClientStatus.RUNNING, ClientStatus.COMPLETE, ClientStatus.FAILED]
        ranks = [order.index(status) for status in self.statuses]
        assert ranks == sorted(ranks) and len(ranks) <= 3, self.statuses
        for name, task in self.core.tasks.items():
            assert len(self.held[name]) <= 1, "two attempts of one task at once"
            if task.record.phase in (Phase.DEAD, Phase.BACKOFF, Phase.WAITING):
                assert not self.held[name], f"{name} is {task.record.phase} and the driver still holds it"
            assert len(task.record.state.events) <= 10
            assert task.record.window.count <= task.spec.policy.attempts
        if self.core.record.phase == AllocPhase.DONE:
            assert not any(self.held.values())
            assert all(task.record.phase == Phase.DEAD for task in self.core.tasks.values())

    def settle(self) -> None:
        """Let everything that is under way happen, in order."""
        for _ in range(2000):
            if self.core.record.phase == AllocPhase.DONE:
                return
            self.turn()
            for name in self.held:
                self.hand(name, 0)
                self.wait(name)
            if not self.inputs and self.timers and not any(self.queues.values()):
                self.fire(0)
        raise AssertionError(f"not done: {self.core.record}")


policies = st.builds(
    RestartPolicy,
    attempts=st.integers(0, 3),
    interval_ns=st.just(100 * SECOND),
    delay_ns=st.just(SECOND),
    mode=st.sampled_from(["fail", "delay"]),
)


@st.composite
def specs(draw):
    count = draw(st.integers(1, 4))
    roles = [Role.MAIN] + [draw(st.sampled_from(list(Role))) for _ in range(count - 1)]
    leader = draw(st.booleans())
    tasks = tuple(
        TaskSpec(
            name=f"t{n}",
            role=role,
            leader=leader and n == 0,
            policy=draw(policies),
            on_success=role in (Role.PRESTART_SIDECAR, Role.POSTSTART_SIDECAR)
            or (role == Role.MAIN and draw(st.booleans())),
            shutdown_delay_ns=draw(st.sampled_from([0, SECOND])),
        )
        for n, role in enumerate(roles)
    )
    return AllocSpec(
        alloc_id="a",
        tasks=tasks,
        has_predecessor=draw(st.booleans()),
        shutdown_delay_ns=draw(st.sampled_from([0, SECOND])),
        max_run_ns=draw(st.sampled_from([0, 1000 * SECOND])),
        created_ns=SECOND,
        health=draw(st.sampled_from([None, HealthSpec(min_healthy_ns=SECOND, deadline_ns=9 * SECOND)])),
    )


ACTS = (
    ["turn"] * 12
    + ["hand"] * 12
    + ["end", "wait", "wait", "fire", "fire", "crash", "half", "stop", "restart"]
)


def live(world: World, names: list[str], random: Random) -> None:
    """A random life of up to 200 acts; most let things go on."""
    stops = random.random() < 0.3
    for _ in range(random.randrange(200)):
        name, choice = random.choice(names), random.randrange(100)
        match random.choice(ACTS):
            case "turn":
                world.turn()
            case "hand":
                world.hand(name, choice)
            case "end" if choice < 50:
                world.end(name, choice % 3)
            case "wait":
                world.wait(name)
            case "fire":
                world.fire(choice)
            case "crash":
                world.crash()
            case "half":
                world.turn(crash_before_effects=True)
            case "stop" if choice < 20 and stops:
                world.feed(i.Stop(reason="test", no_delay=choice % 2 == 0))
            case "restart" if choice < 50:
                world.task(name, i.Restart(reason="test", even_dead=choice % 2 == 0))


@settings(max_examples=400, deadline=None)
@given(specs(), st.integers(0, 2**32), st.booleans())
def test_lives(spec, seed, force):
    world = World(spec)
    names = [task.name for task in spec.tasks]
    live(world, names, Random(seed))
    world.feed(i.Stop(reason="end of test", force=force))
    # poststop tasks that nobody forces out end by themselves
    for _ in range(50):
        for task in spec.tasks:
            if task.role == Role.POSTSTOP:
                world.end(task.name, 0)
            world.wait(task.name)
        for _ in range(10):
            world.turn()
            for name in names:
                world.hand(name, 0)
        if world.timers and not world.inputs:
            world.fire(0)
    world.settle()
    assert world.core.record.phase == AllocPhase.DONE
    assert client_status(world.core) in (ClientStatus.COMPLETE, ClientStatus.FAILED)
