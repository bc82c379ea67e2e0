"""Scores of failures, and which nodes are marked for them: tables and properties."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.model.base import NS_PER_S
from daemon.model.enums import Eligibility, NodeStatus
from daemon.model.node import DrainStrategy, Node, NodeQuarantine
from daemon.model.scheduler_config import OBSERVE, OFF, ON, QuarantineConfig
from daemon.server.failures import FADED, FailureScores
from daemon.server.quarantines import room, step

HALF = 1800 * NS_PER_S
T0 = 10**18


def key(name: str) -> tuple[str, str]:
    return ("default", name)


def node(name: str, **facts: object) -> Node:
    return Node(id=name, name=name, **{"status": NodeStatus.READY, **facts})  # type: ignore[arg-type]


def failing(nodes: list[str], jobs: int = 3, times: int = 1) -> FailureScores:
    """On each of the nodes so many jobs of its own have failed."""
    scores = FailureScores(HALF)
    for each in nodes:
        for number in range(jobs):
            for _ in range(times):
                scores.add(each, key(f"{each}-{number}"), T0)
    return scores


def test_a_failure_counts_for_half_after_each_half_life() -> None:
    scores = FailureScores(HALF)
    scores.add("n", key("a"), T0)
    assert scores.of_job(key("a"), T0) == {"n": 1.0}
    scores.add("m", key("a"), T0)
    scores.add("m", key("a"), T0)
    assert scores.of_job(key("a"), T0) == {"m": 1.0, "n": 1.0}
    scores.forget_node("m")
    assert scores.of_job(key("a"), T0 + HALF)["n"] == pytest.approx(0.5)
    assert scores.of_job(key("a"), T0 + 2 * HALF)["n"] == pytest.approx(0.25)
    assert scores.of_job(key("a"), T0 + 10 * HALF) == {}
    scores.prune(T0 + 10 * HALF)
    assert len(scores) == 0 and scores.nodes() == []


def test_a_failure_that_is_told_late_has_faded_already() -> None:
    early, late = FailureScores(HALF), FailureScores(HALF)
    for scores, times in ((early, (T0, T0 + HALF)), (late, (T0 + HALF, T0))):
        for time_ns in times:
            scores.add("n", key("a"), time_ns)
    [ours], [theirs] = early.blames("n", T0 + 2 * HALF), late.blames("n", T0 + 2 * HALF)
    assert ours.weight == pytest.approx(theirs.weight) == pytest.approx(0.75)
    assert ours.tally.first_ns == theirs.tally.first_ns == T0


def test_a_job_that_fails_everywhere_speaks_against_no_node() -> None:
    scores = FailureScores(HALF)
    for name in ("a", "b", "c", "d", "e"):
        scores.add(name, key("broken"), T0)
    assert [blame.weight for blame in scores.blames("a", T0)] == [pytest.approx(0.2)]
    for _ in range(20):
        scores.add("a", key("loops"), T0)
    assert scores.blames("a", T0)[0].weight == 1.0


def test_another_half_life_holds_from_then_on() -> None:
    scores = FailureScores(HALF)
    scores.add("n", key("a"), T0)
    scores.retune(HALF // 2, T0 + HALF)
    assert scores.of_job(key("a"), T0 + HALF)["n"] == pytest.approx(0.5)
    assert scores.of_job(key("a"), T0 + 2 * HALF)["n"] == pytest.approx(0.125)


def test_forgetting_a_node_leaves_what_the_job_did_elsewhere() -> None:
    scores = failing(["n"])
    scores.add("m", key("n-0"), T0)
    scores.forget_node("n")
    assert scores.nodes() == ["m"] and scores.of_job(key("n-0"), T0) == {"m": 1.0}
    assert scores.blames("n", T0) == []


@pytest.mark.parametrize(
    ("serving", "percent", "most"),
    [(0, 10, 0), (1, 10, 0), (2, 10, 0), (2, 50, 1), (3, 10, 1), (3, 0, 0), (19, 10, 1), (20, 10, 2), (5, 100, 5)],
)  # fmt: skip
def test_room(serving: int, percent: int, most: int) -> None:
    assert room(serving, percent) == most


def test_several_distinct_jobs_mark_a_node_with_the_reason() -> None:
    nodes = [node(name) for name in ("a", "b", "c")]
    scores = failing(["a"], jobs=3, times=2)
    [(marked, mark)] = step(nodes, scores, QuarantineConfig(mode=ON), T0 + 60 * NS_PER_S).items()
    assert marked == "a" and mark is not None and not mark.held_back
    assert mark.reason == "6 allocations of 3 jobs failed there within 60 s: a-0 2x, a-1 2x, a-2 2x"


@pytest.mark.parametrize(
    ("scores", "facts"),
    [
        (failing(["a"], jobs=2, times=50), {}),
        (failing(["a"]), {"status": NodeStatus.DOWN}),
        (failing(["a"]), {"scheduling_eligibility": Eligibility.INELIGIBLE}),
        (failing(["a"]), {"drain_strategy": DrainStrategy()}),
    ],
    ids=["two jobs only", "down", "ineligible", "draining"],
)
def test_no_mark(scores: FailureScores, facts: dict[str, object]) -> None:
    nodes = [node("a", **facts), node("b"), node("c"), node("d")]
    assert step(nodes, scores, QuarantineConfig(mode=ON), T0) == {}


def test_observing_and_off() -> None:
    nodes = [node(name) for name in ("a", "b", "c")]
    [mark] = step(nodes, failing(["a"]), QuarantineConfig(mode=OBSERVE), T0).values()
    assert mark is not None and mark.held_back == "observing only"
    assert step(nodes, failing(["a"]), QuarantineConfig(mode=OFF), T0) == {}
    marked = [node("a", quarantine=NodeQuarantine(reason="r", since_ns=1)), *nodes[1:]]
    assert step(marked, failing(["a"]), QuarantineConfig(mode=OFF), T0) == {"a": None}
    [freed] = step(marked, failing(["a"]), QuarantineConfig(mode=OBSERVE), T0).values()
    assert freed is not None and freed.held_back and freed.reason == "r"


def test_a_mark_stays_until_half_of_what_made_it_has_faded() -> None:
    nodes = [node("a", quarantine=NodeQuarantine(reason="r")), node("b"), node("c")]
    scores, config = failing(["a"]), QuarantineConfig(mode=ON)
    assert step(nodes, scores, config, T0 + HALF * 3 // 2) == {}
    assert step(nodes, scores, config, T0 + HALF * 8 // 5) == {"a": None}


def test_the_worst_are_taken_and_those_in_quarantine_before_others() -> None:
    config = QuarantineConfig(mode=ON)
    scores = failing(["a"], jobs=3)
    for number in range(5):
        scores.add("b", key(f"b-{number}"), T0)
    nodes = [node(name) for name in ("a", "b", "c", "d")]
    marks = step(nodes, scores, config, T0)
    assert marks["b"] is not None and not marks["b"].held_back
    assert marks["a"] is not None and "at most 1 of the 4 nodes" in marks["a"].held_back
    nodes[0] = node("a", quarantine=NodeQuarantine(reason="r"))
    marks = step(nodes, scores, config, T0)
    assert list(marks) == ["b"] and marks["b"] is not None and marks["b"].held_back


def test_pools_are_apart() -> None:
    nodes = [
        node(name, node_pool=pool) for pool in ("x", "y") for name in (f"{pool}1", f"{pool}2", f"{pool}3")
    ]
    marks = step(nodes, failing(["x1", "x2", "y1"]), QuarantineConfig(mode=ON), T0)
    assert {name for name, mark in marks.items() if mark and not mark.held_back} == {"x1", "y1"}


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(0, 3), st.integers(0, 3), st.integers(-HALF, HALF)),
            st.tuples(st.just("forget"), st.integers(0, 3)),
            st.tuples(st.just("prune")),
        ),
        max_size=60,
    )
)
def test_the_kept_sums_are_those_of_all_failures(steps: list[tuple[Any, ...]]) -> None:
    scores, now = FailureScores(HALF), T0
    told: list[tuple[str, str, int]] = []
    for step_ in steps:
        now += HALF // 10
        if step_[0] == "add":
            told.append((f"n{step_[1]}", f"j{step_[2]}", now + step_[3]))
            scores.add(f"n{step_[1]}", key(f"j{step_[2]}"), now + step_[3])
        elif step_[0] == "forget":
            told = [each for each in told if each[0] != f"n{step_[1]}"]
            scores.forget_node(f"n{step_[1]}")
        else:
            scores.prune(now)
    now += 2 * HALF

    def worth(node_id: str | None, job: str) -> float:
        mine = [t for n, j, t in told if j == job and node_id in (None, n)]
        return sum(math.exp2((t - now) / HALF) for t in mine)

    for node_id in ("n0", "n1", "n2", "n3"):
        found = {blame.job[1]: blame.weight for blame in scores.blames(node_id, now)}
        for job in ("j0", "j1", "j2", "j3"):
            here = worth(node_id, job)
            if here < FADED * 4:
                assert found.get(job, 0.0) <= FADED * 4
            else:
                # what was pruned elsewhere may lack in the sum
                expected = min(1.0, here) * here / worth(None, job)
                assert found[job] == pytest.approx(expected, abs=4 * FADED)


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 9), st.integers(0, HALF // 2)), max_size=80))
def test_looking_at_what_is_new_finds_what_looking_at_all_finds(failures: list[tuple[int, int, int]]) -> None:
    scores, config, now = FailureScores(HALF), QuarantineConfig(mode=ON, share_percent=30), T0
    nodes = {f"n{n}": node(f"n{n}") for n in range(8)}
    for where, job, pause in failures:
        now += pause
        scores.add(f"n{where}", key(f"j{job}"), now)
        marks = step(nodes.values(), scores, config, now, scores.take_touched())
        nodes.update((id_, node(id_, quarantine=mark)) for id_, mark in marks.items())
        # a job that fails on one node speaks less against the others: nothing is found there that was not before
        assert step(nodes.values(), scores, config, now) == {}


_AGES = st.integers(min_value=0, max_value=6 * HALF)


@given(
    failures=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 5), _AGES), max_size=120),
    marked=st.sets(st.integers(0, 11)),
    down=st.sets(st.integers(0, 11)),
    config=st.builds(
        QuarantineConfig,
        mode=st.sampled_from((OFF, OBSERVE, ON)),
        jobs=st.integers(1, 4),
        share_percent=st.integers(0, 100),
        half_life_ns=st.just(HALF),
    ),
)
def test_never_more_than_the_share_and_one_step_settles(
    failures: list[tuple[int, int, int]], marked: set[int], down: set[int], config: QuarantineConfig
) -> None:
    scores = FailureScores(HALF)
    for where, job, age in failures:
        scores.add(f"n{where}", key(f"j{job}"), T0 - age)
    nodes = [
        node(
            f"n{n}",
            status=NodeStatus.DOWN if n in down else NodeStatus.READY,
            quarantine=NodeQuarantine(reason="r") if n in marked else None,
        )
        for n in range(12)
    ]
    marks = step(nodes, scores, config, T0)
    after = [
        node(each.id, status=each.status, quarantine=marks.get(each.id, each.quarantine)) for each in nodes
    ]
    most = room(12 - len(down), config.share_percent)
    assert sum(each.quarantined for each in after) <= (most if config.mode == ON else 0)
    assert step(after, scores, config, T0) == {}
    # all fades in the end
    assert step(after, scores, config, T0 + 20 * HALF) == {
        each.id: None for each in after if each.quarantine is not None
    }
