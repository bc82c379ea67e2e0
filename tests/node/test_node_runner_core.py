"""The cores of task and allocation: scripts of inputs, exact effects."""

from __future__ import annotations

import pytest

from daemon.model.alloc import Allocation
from daemon.model.enums import ClientStatus, TaskStateName
from daemon.model.errors import InvariantBroken
from daemon.model.policies import SECOND, RestartPolicy
from daemon.model.tasks import EventType
from daemon.node.runner import inputs as i
from daemon.node.runner.alloc_core import AllocCore
from daemon.node.runner.effects import (
    Abort,
    AwaitPredecessor,
    CancelTimer,
    Destroy,
    Launch,
    Prepare,
    Recover,
    SetTimer,
    StopTask,
    TearDown,
    Timer,
)
from daemon.node.runner.records import AllocPhase, Phase, TaskRecord
from daemon.node.runner.specs import AllocSpec, HealthSpec, Role, TaskSpec
from daemon.node.runner.status import client_status, client_update
from daemon.node.runner.task_core import TaskCore
from plugins.driver import ExitResult, TaskHandle

ALLOC = Allocation(id="a" * 36, name="job.group[0]", job_id="job", task_group="group", node_id="n")


def handle(task, attempt):
    return TaskHandle(driver="mock", task_id=f"a/{task}/{attempt}")


class Script:
    """Steps an allocation with a clock of its own."""

    def __init__(self, *tasks: TaskSpec, **spec):
        self.core = AllocCore(AllocSpec(alloc_id="a", tasks=tasks or (TaskSpec(name="web"),), **spec))
        self.now_s = 100

    def step(self, input):
        return self.core.step(input, self.now_s * SECOND)

    def task(self, name, input):
        return self.step(i.ForTask(task=name, input=input))

    def begin(self):
        self.step(i.Begin())
        return self.step(i.Prepared())

    def launched(self, name):
        attempt = self.core.tasks[name].record.attempt
        return self.task(name, i.Launched(attempt=attempt, handle=handle(name, attempt)))

    def exited(self, name, code=0, **result):
        attempt = self.core.tasks[name].record.attempt
        return self.task(name, i.Exited(attempt=attempt, result=ExitResult(exit_code=code, **result)))

    def destroyed(self, name):
        return self.task(name, i.Destroyed(attempt=self.core.tasks[name].record.attempt))

    def over(self, name, code=0):
        self.exited(name, code)
        return self.destroyed(name)

    def phase(self, name):
        return self.core.tasks[name].record.phase

    def events(self, name):
        return [event.type for event in self.core.tasks[name].record.state.events]

    def status(self):
        return client_status(self.core)


def kinds(effects):
    return [type(effect) for effect in effects]


def names(effects):
    return [(type(effect).__name__, getattr(effect, "task", "")) for effect in effects]


def test_a_service_task_starts_and_stops():
    run = Script()
    assert kinds(run.step(i.Begin())) == [Prepare]
    assert run.step(i.Prepared()) == [Launch(task="web", attempt=1)]
    assert run.status() == ClientStatus.PENDING
    assert run.launched("web") == []
    assert run.status() == ClientStatus.RUNNING
    assert run.step(i.Stop(reason="job stopped")) == [
        StopTask(task="web", attempt=1, signal="", timeout_ns=5 * SECOND)
    ]
    assert run.exited("web", 0, signal=2) == [Destroy(task="web", attempt=1)]
    assert kinds(run.destroyed("web")) == [TearDown]
    assert run.status() == ClientStatus.RUNNING, "not over before the mounts are gone"
    run.step(i.TornDown())
    assert run.status() == ClientStatus.COMPLETE
    assert run.events("web") == [
        EventType.RECEIVED,
        EventType.TASK_SETUP,
        EventType.STARTED,
        EventType.KILLING,
        EventType.TERMINATED,
        EventType.KILLED,
    ]
    killing = run.core.tasks["web"].record.state.events[3]
    assert "job stopped" in killing.display_message


def test_a_batch_task_that_ends_well_completes_the_allocation():
    run = Script(TaskSpec(name="web", on_success=False))
    run.begin()
    run.launched("web")
    run.exited("web")
    effects = run.destroyed("web")
    assert kinds(effects) == [TearDown]
    run.step(i.TornDown())
    assert run.status() == ClientStatus.COMPLETE
    assert run.core.tasks["web"].record.state.state == TaskStateName.DEAD


def test_a_failed_attempt_is_removed_before_the_next_starts():
    run = Script(TaskSpec(name="web", policy=RestartPolicy(attempts=1, delay_ns=15 * SECOND)))
    run.begin()
    run.launched("web")
    assert run.exited("web", 1) == [Destroy(task="web", attempt=1)]
    assert run.core.tasks["web"].record.state.restarts == 1
    assert run.destroyed("web") == [SetTimer(task="web", timer=Timer.RESTART, at_ns=115 * SECOND)]
    assert run.core.tasks["web"].record.state.state == TaskStateName.PENDING
    assert run.status() == ClientStatus.RUNNING
    assert run.task("web", i.RestartDue()) == [Launch(task="web", attempt=2)]
    run.launched("web")
    run.over("web", 1)
    run.step(i.TornDown())
    assert run.status() == ClientStatus.FAILED
    assert run.events("web")[-1] == EventType.NOT_RESTARTING
    assert run.core.tasks["web"].record.state.events[-1].fails_task


def test_an_unrecoverable_start_fails_at_once_and_a_recoverable_one_is_tried_again():
    run = Script(TaskSpec(name="web", policy=RestartPolicy(attempts=1)))
    run.begin()
    run.task("web", i.LaunchFailed(attempt=1, message="engine is down", recoverable=True))
    run.destroyed("web")
    assert run.phase("web") == Phase.BACKOFF
    run.task("web", i.RestartDue())
    run.task("web", i.LaunchFailed(attempt=2, message="no such image"))
    run.destroyed("web")
    run.step(i.TornDown())
    assert run.status() == ClientStatus.FAILED
    driver = [
        event for event in run.core.tasks["web"].record.state.events if event.type == EventType.DRIVER_FAILURE
    ]
    assert [event.display_message for event in driver] == ["engine is down", "no such image"]


def test_a_kill_during_a_launch_aborts_it():
    run = Script()
    run.begin()
    assert kinds(run.step(i.Stop(reason="x"))) == [Abort]
    assert kinds(run.task("web", i.Aborted(attempt=1))) == [TearDown]


def test_a_launch_that_wins_against_the_abort_is_stopped():
    run = Script()
    run.begin()
    run.step(i.Stop(reason="x"))
    assert kinds(run.launched("web")) == [StopTask]
    assert kinds(run.over("web")) == [TearDown]


def test_a_killed_task_is_not_restarted_and_does_not_fail():
    run = Script()
    run.begin()
    run.launched("web")
    run.step(i.Stop(reason="x"))
    run.over("web", 137)
    run.step(i.TornDown())
    assert run.phase("web") == Phase.DEAD
    assert run.status() == ClientStatus.COMPLETE


def test_a_kill_ends_a_waiting_restart():
    run = Script()
    run.begin()
    run.launched("web")
    run.over("web", 1)
    effects = run.step(i.Stop(reason="x"))
    assert kinds(effects) == [CancelTimer, TearDown]


def test_shutdown_delay_of_task_and_group():
    run = Script(TaskSpec(name="web", shutdown_delay_ns=3 * SECOND), shutdown_delay_ns=7 * SECOND)
    run.begin()
    run.launched("web")
    assert run.step(i.Stop(reason="x")) == [SetTimer(timer=Timer.GROUP_DELAY, at_ns=107 * SECOND)]
    run.now_s = 107
    assert run.step(i.GroupDelayOver()) == [
        SetTimer(task="web", timer=Timer.SHUTDOWN_DELAY, at_ns=110 * SECOND)
    ]
    assert run.status() == ClientStatus.RUNNING
    assert kinds(run.task("web", i.ShutdownDelayOver())) == [StopTask]


def test_no_delay_skips_both_delays_even_later():
    run = Script(TaskSpec(name="web", shutdown_delay_ns=3 * SECOND), shutdown_delay_ns=7 * SECOND)
    run.begin()
    run.launched("web")
    run.step(i.Stop(reason="x"))
    assert kinds(run.step(i.Stop(reason="x", no_delay=True))) == [CancelTimer, StopTask]


def test_prestart_before_main_before_poststart_and_poststop_last():
    run = Script(
        TaskSpec(name="stop", role=Role.POSTSTOP, on_success=False),
        TaskSpec(name="after", role=Role.POSTSTART, on_success=False),
        TaskSpec(name="main", on_success=False),
        TaskSpec(name="side", role=Role.PRESTART_SIDECAR),
        TaskSpec(name="init", role=Role.PRESTART, on_success=False),
    )
    assert names(run.begin()) == [("Launch", "side"), ("Launch", "init")]
    assert {run.phase("init"), run.phase("side")} == {Phase.STARTING}
    run.launched("init")
    run.launched("side")
    assert run.phase("main") == Phase.WAITING
    assert names(run.over("init")) == [("Launch", "main")]
    assert names(run.launched("main")) == [("Launch", "after")]
    run.launched("after")
    run.over("after")
    assert names(run.over("main")) == [("StopTask", "side")]
    assert EventType.MAIN_DEAD in run.events("side")
    assert names(run.over("side")) == [("Launch", "stop")]
    run.launched("stop")
    assert kinds(run.over("stop")) == [TearDown]
    run.step(i.TornDown())
    assert run.status() == ClientStatus.COMPLETE


def test_a_failed_task_takes_its_siblings_down_sidecars_last():
    none = RestartPolicy(attempts=0)
    run = Script(
        TaskSpec(name="bad", policy=none),
        TaskSpec(name="good"),
        TaskSpec(name="side", role=Role.PRESTART_SIDECAR),
    )
    run.begin()
    run.launched("side")
    run.launched("bad")
    run.launched("good")
    assert names(run.over("bad", 3)) == [("StopTask", "good")]
    assert EventType.SIBLING_FAILED in run.events("good")
    assert names(run.over("good", 0)) == [("StopTask", "side")]
    run.over("side")
    run.step(i.TornDown())
    assert run.status() == ClientStatus.FAILED
    assert client_update(run.core, ALLOC).client_description == "Failed tasks: bad"


def test_the_leader_is_killed_first_and_its_end_ends_the_rest():
    run = Script(TaskSpec(name="lead", leader=True, on_success=False), TaskSpec(name="rest"))
    run.begin()
    run.launched("lead")
    run.launched("rest")
    assert names(run.over("lead")) == [("StopTask", "rest")]
    assert EventType.LEADER_DEAD in run.events("rest")

    run = Script(TaskSpec(name="rest"), TaskSpec(name="lead", leader=True))
    run.begin()
    run.launched("lead")
    run.launched("rest")
    assert names(run.step(i.Stop(reason="x"))) == [("StopTask", "lead")]
    run.exited("lead")
    assert run.phase("rest") == Phase.RUNNING
    assert names(run.destroyed("lead")) == [("StopTask", "rest")]


def test_poststop_runs_only_after_a_main_task_has_run_and_not_when_forced():
    stop = TaskSpec(name="stop", role=Role.POSTSTOP, on_success=False)
    run = Script(TaskSpec(name="main"), stop)
    run.begin()
    run.step(i.Stop(reason="x"))
    run.task("main", i.Aborted(attempt=1))
    assert run.phase("stop") == Phase.DEAD

    run = Script(TaskSpec(name="main"), stop)
    run.begin()
    run.launched("main")
    run.step(i.Stop(reason="x", force=True))
    assert kinds(run.over("main")) == [TearDown]


def test_directories_that_cannot_be_made_fail_the_allocation_in_words():
    run = Script()
    run.step(i.Begin())
    effects = run.step(i.PrepareFailed(message="No space is left"))
    assert kinds(effects) == [TearDown]
    run.step(i.TornDown())
    assert run.status() == ClientStatus.FAILED
    assert client_update(run.core, ALLOC).client_description == "No space is left"
    assert run.events("web") == [EventType.RECEIVED, EventType.SETUP_FAILURE]


def test_a_replacement_waits_for_its_predecessor():
    run = Script(has_predecessor=True)
    assert run.step(i.Begin()) == [AwaitPredecessor()]
    assert kinds(run.step(i.PredecessorDone())) == [Prepare]


def test_a_stop_while_waiting_for_the_predecessor_ends_at_once():
    run = Script(has_predecessor=True)
    run.step(i.Begin())
    assert kinds(run.step(i.Stop(reason="x"))) == [TearDown]
    run.step(i.TornDown())
    assert run.status() == ClientStatus.COMPLETE
    assert run.step(i.PredecessorDone()) == []


HEALTH = HealthSpec(min_healthy_ns=10 * SECOND, deadline_ns=60 * SECOND)


def test_healthy_after_min_healthy_time_without_a_break():
    run = Script(health=HEALTH)
    assert SetTimer(timer=Timer.HEALTH_DEADLINE, at_ns=160 * SECOND) in run.begin()
    assert run.launched("web") == [SetTimer(timer=Timer.HEALTHY, at_ns=110 * SECOND)]
    run.now_s = 105
    assert CancelTimer(timer=Timer.HEALTHY) in run.exited("web", 1)
    run.destroyed("web")
    run.task("web", i.RestartDue())
    run.now_s = 120
    assert run.launched("web") == [SetTimer(timer=Timer.HEALTHY, at_ns=130 * SECOND)]
    run.now_s = 130
    run.step(i.HealthyLongEnough())
    assert run.core.record.healthy is True
    assert client_update(run.core, ALLOC).deployment_status.timestamp_ns == 130 * SECOND


def test_unhealthy_when_the_deadline_passes_or_a_task_fails():
    run = Script(health=HEALTH)
    run.begin()
    run.now_s = 160
    run.step(i.HealthDeadline())
    assert run.core.record.healthy is False
    assert EventType.ALLOC_UNHEALTHY in run.events("web")

    run = Script(TaskSpec(name="web", policy=RestartPolicy(attempts=0)), health=HEALTH)
    run.begin()
    run.launched("web")
    run.exited("web", 1)
    run.destroyed("web")
    assert run.core.record.healthy is False


def test_a_new_deployment_judges_health_anew():
    run = Script(health=HEALTH)
    run.begin()
    run.launched("web")
    run.now_s = 110
    run.step(i.HealthyLongEnough())
    spec = AllocSpec(alloc_id="a", tasks=run.core.spec.tasks, deployment_id="d2", health=HEALTH)
    effects = run.core.update(spec, 200 * SECOND)
    assert run.core.record.healthy is None
    assert SetTimer(timer=Timer.HEALTHY, at_ns=110 * SECOND) in effects


def test_max_run_duration_counts_from_the_creation_and_fails():
    run = Script(max_run_ns=50 * SECOND, created_ns=90 * SECOND)
    assert SetTimer(timer=Timer.MAX_RUN, at_ns=140 * SECOND) in run.begin()
    run.launched("web")
    assert kinds(run.step(i.RunTooLong())) == [StopTask]
    run.over("web")
    run.step(i.TornDown())
    assert run.status() == ClientStatus.FAILED
    assert EventType.MAX_RUN_DURATION in run.events("web")


def test_a_user_restart_uses_up_no_attempt():
    run = Script(TaskSpec(name="web", policy=RestartPolicy(attempts=0)))
    run.begin()
    run.launched("web")
    assert kinds(run.task("web", i.Restart(reason="by hand"))) == [StopTask]
    assert kinds(run.exited("web", 0, signal=2)) == [Destroy]
    assert kinds(run.destroyed("web")) == [Launch]
    run.launched("web")
    assert run.core.tasks["web"].record.state.restarts == 1
    assert run.core.tasks["web"].record.window.count == 0


def test_a_kill_during_a_restart_wins():
    run = Script()
    run.begin()
    run.launched("web")
    run.task("web", i.Restart(reason="by hand"))
    assert run.step(i.Stop(reason="x")) == []
    assert kinds(run.over("web")) == [TearDown]


@pytest.mark.parametrize(
    ("phase", "effect"),
    [
        (Phase.STARTING, Launch),
        (Phase.ABORTING, Abort),
        (Phase.RUNNING, Recover),
        (Phase.STOPPING, Recover),
        (Phase.ENDING, Destroy),
        (Phase.BACKOFF, SetTimer),
    ],
)
def test_a_stored_task_goes_on(phase, effect):
    record = TaskRecord(phase=phase, attempt=2, handle=handle("web", 2))
    [found] = TaskCore(TaskSpec(name="web"), record).resume()
    assert isinstance(found, effect)


def test_a_stop_under_way_goes_on_after_a_crash():
    core = TaskCore(
        TaskSpec(name="web"),
        TaskRecord(phase=Phase.STOPPING, attempt=1, handle=handle("web", 1), killed=True),
    )
    core.resume()
    assert kinds(core.step(i.Recovered(attempt=1), 0)) == [StopTask]


def test_a_task_that_is_gone_after_a_crash_counts_as_failed_but_not_after_a_reboot():
    running = TaskRecord(phase=Phase.RUNNING, attempt=1, handle=handle("web", 1))
    core = TaskCore(TaskSpec(name="web"), running)
    core.step(i.Lost(attempt=1, message="gone"), 0)
    assert core.record.window.count == 1
    core = TaskCore(TaskSpec(name="web"), running)
    core.step(i.Lost(attempt=1, message="gone", rebooted=True), 0)
    assert core.record.window.count == 0
    assert kinds(core.step(i.Destroyed(attempt=1), 0)) == [Launch]


def test_illegal_moves_raise_and_late_answers_do_not():
    core = TaskCore(TaskSpec(name="web"), TaskRecord(phase=Phase.RUNNING, attempt=2, handle=handle("web", 2)))
    with pytest.raises(InvariantBroken, match="cannot take Admit while it is running"):
        core.step(i.Admit(), 0)
    assert core.step(i.Exited(attempt=1, result=ExitResult()), 0) == []
    assert core.record.phase == Phase.RUNNING


def test_ten_events_are_kept():
    run = Script(TaskSpec(name="web", policy=RestartPolicy(attempts=100)))
    run.begin()
    for _ in range(10):
        run.launched("web")
        run.over("web", 1)
        run.task("web", i.RestartDue())
    assert len(run.core.tasks["web"].record.state.events) == 10


def test_phases_never_go_back():
    run = Script()
    run.begin()
    run.launched("web")
    run.step(i.Stop(reason="x"))
    run.over("web")
    run.step(i.TornDown())
    for late in (i.Stop(reason="again"), i.GroupDelayOver(), i.RunTooLong(), i.Prepared(), i.TornDown()):
        assert run.step(late) == []
    assert run.core.record.phase == AllocPhase.DONE
