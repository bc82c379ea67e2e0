"""Launched jobs wait for their turn: fair over namespaces and parents, never more than max_running."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from daemon.evaluation.run_queue import RunQueue
from daemon.model.enums import Trigger
from daemon.model.evaluation import Evaluation


def evaluation(child: str, *, namespace: str = "default", priority: int = 50, index: int = 1) -> Evaluation:
    return Evaluation(
        id=f"eval of {namespace}/{child}", namespace=namespace, job_id=child, type="batch", priority=priority,
        triggered_by=Trigger.JOB_REGISTER, create_index=index,
    )  # fmt: skip


def jobs(taken: list[Evaluation]) -> list[str]:
    return [each.job_id for each in taken]


def test_no_more_than_max_running_begin_and_the_next_follows_an_end() -> None:
    queue = RunQueue()
    for number in range(5):
        assert queue.offer(evaluation(f"c{number}", index=number), "parent", 2)
    assert jobs(queue.take()) == ["c0", "c1"]
    assert queue.take() == []
    queue.over("default", "parent", "c0")
    assert jobs(queue.take()) == ["c2"]
    assert len(queue) == 2
    queue.check_invariants()


def test_turns_go_round_over_namespaces_then_parents() -> None:
    queue = RunQueue(window=6)
    for number in range(50):
        queue.offer(evaluation(f"big{number}", namespace="a", index=number), "big", 0)
    queue.offer(evaluation("small", namespace="a", index=100), "little", 0)
    queue.offer(evaluation("other", namespace="b", index=101), "x", 0)
    assert jobs(queue.take())[:4] == ["big0", "other", "small", "big1"]


def test_the_higher_priority_goes_first_then_the_older() -> None:
    queue = RunQueue()
    queue.offer(evaluation("old", index=1), "p", 1)
    queue.offer(evaluation("urgent", priority=80, index=9), "p", 1)
    assert jobs(queue.take()) == ["urgent"]


def test_the_broker_holds_a_window_of_them_only() -> None:
    queue = RunQueue(window=3)
    for number in range(10):
        queue.offer(evaluation(f"c{number}", index=number), "p", 0)
    first = queue.take()
    assert len(first) == 3
    queue.settled(first[0].id)
    assert jobs(queue.take()) == ["c3"]


def test_a_child_that_has_begun_needs_no_turn() -> None:
    queue = RunQueue()
    queue.begun("default", "p", "running", 1)
    assert not queue.offer(evaluation("running"), "p", 1)
    assert queue.offer(evaluation("next"), "p", 1)
    assert queue.take() == []


def test_a_raised_limit_and_a_pulled_evaluation() -> None:
    queue = RunQueue()
    for number in range(3):
        queue.offer(evaluation(f"c{number}", index=number), "p", 1)
    queue.take()
    queue.limit("default", "p", 2)
    assert jobs(queue.take()) == ["c1"]
    assert queue.pull("eval of default/c2") is not None
    assert queue.pull("eval of default/c2") is None
    assert len(queue) == 0


@given(st.lists(st.tuples(st.sampled_from("otlp"), st.integers(0, 5), st.integers(0, 2)), max_size=60))
def test_any_history_keeps_the_rules(history: list[tuple[str, int, int]]) -> None:
    queue = RunQueue(window=4)
    limits = {"p0": 0, "p1": 1, "p2": 2}
    begun: dict[str, set[str]] = {parent: set() for parent in limits}
    for step, (kind, number, of) in enumerate(history):
        parent, child = f"p{of}", f"p{of}-c{number}"
        if kind == "o":
            queue.offer(evaluation(child, index=step), parent, limits[parent])
        elif kind == "t":
            for each in queue.take():
                owner = each.job_id.split("-")[0]
                begun[owner].add(each.job_id)
                assert not limits[owner] or len(begun[owner]) <= limits[owner]
        elif kind == "l":
            queue.settled(f"eval of default/{child}")
        elif child in begun[parent]:
            begun[parent].discard(child)
            queue.over("default", parent, child)
        queue.check_invariants()
