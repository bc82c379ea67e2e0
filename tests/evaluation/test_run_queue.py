"""RunQueue: places per parent, fair turns, and what a restart reads; run_limits: what the scheduler is shown."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.evaluation.run_queue import RunQueue
from daemon.model.enums import Trigger
from daemon.model.evaluation import Evaluation


def first(child: str, namespace: str = "default", *, priority: int = 50, index: int = 1) -> Evaluation:
    return Evaluation(
        id=f"{namespace}-{child}",
        namespace=namespace,
        job_id=child,
        type="batch",
        priority=priority,
        triggered_by=Trigger.JOB_REGISTER,
        create_index=index,
    )


def names(evaluations: list[Evaluation]) -> list[str]:
    return [each.job_id for each in evaluations]


def test_no_more_than_max_running_begin() -> None:
    queue = RunQueue()
    for number in range(4):
        queue.offer(first(f"c{number}", index=number), "p", 2)
    assert names(queue.take()) == ["c0", "c1"]
    queue.settled("default-c0")
    assert queue.take() == [], "placed is not over"
    queue.over("default", "p", "c0")
    assert names(queue.take()) == ["c2"]
    queue.limit("default", "p", 0)
    assert names(queue.take()) == ["c3"]


def test_higher_priority_goes_first_then_the_older() -> None:
    queue = RunQueue()
    queue.begun("default", "p", "running", 1)
    for child, priority, index in (("a", 50, 1), ("b", 90, 3), ("c", 90, 2)):
        queue.offer(first(child, priority=priority, index=index), "p", 1)
    order = []
    last = "running"
    for _ in range(3):
        queue.over("default", "p", last)
        (taken,) = queue.take()
        order.append(last := taken.job_id)
    assert order == ["c", "b", "a"]


def test_turns_go_round_namespaces_then_parents() -> None:
    queue = RunQueue(window=6)
    for number in range(100):
        queue.offer(first(f"big{number}", index=number), "big", 0)
    queue.offer(first("small0", index=200), "small", 0)
    queue.offer(first("other0", "ns2", index=300), "far", 0)
    taken = queue.take()
    assert names(taken) == ["big0", "other0", "small0", "big1", "big2", "big3"]
    assert queue.take() == [], "the window is full"
    queue.settled(taken[0].id)
    assert names(queue.take()) == ["big4"]


def test_a_child_that_has_begun_waits_for_nothing() -> None:
    queue = RunQueue()
    queue.begun("default", "p", "c", 1)
    assert not queue.offer(first("c"), "p", 1)


def test_a_stopped_child_leaves_the_line() -> None:
    queue = RunQueue()
    queue.begun("default", "p", "running", 1)
    queue.offer(first("c"), "p", 1)
    assert names([each for each in [queue.pull("default-c")] if each]) == ["c"]
    assert queue.pull("default-c") is None
    queue.over("default", "p", "running")
    assert queue.take() == []
    assert len(queue) == 0


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 2)), max_size=80))
def test_places_are_never_exceeded_and_nobody_is_forgotten(steps: list[tuple[int, int, int]]) -> None:
    queue = RunQueue(window=3)
    limits = {"p0": 1, "p1": 2, "p2": 0}
    running: dict[str, str] = {}
    open_evals: dict[str, Evaluation] = {}
    waiting: set[str] = set()
    for number, (kind, pick, parent) in enumerate(steps):
        name = f"p{parent}"
        if kind <= 1:
            child = f"{name}-c{number}"
            assert queue.offer(first(child, index=number), name, limits[name])
            waiting.add(child)
        elif kind == 2 and running:
            child = sorted(running)[pick % len(running)]
            queue.settled(open_evals[child].id)
            queue.over("default", running.pop(child), child)
        elif kind == 3 and open_evals:
            queue.settled(sorted(each.id for each in open_evals.values())[pick % len(open_evals)])
        for taken in queue.take():
            assert taken.job_id in waiting
            waiting.discard(taken.job_id)
            running[taken.job_id] = taken.job_id.split("-")[0]
            open_evals[taken.job_id] = taken
        queue.check_invariants()
        for owner, count in Counter(running.values()).items():
            assert not limits[owner] or count <= limits[owner]
    for _ in range(len(steps) + 1):
        for child, owner in list(running.items()):
            queue.settled(open_evals[child].id)
            queue.over("default", owner, child)
            del running[child]
        for taken in queue.take():
            waiting.discard(taken.job_id)
            running[taken.job_id] = taken.job_id.split("-")[0]
            open_evals[taken.job_id] = taken
    assert not waiting and len(queue) == 0
