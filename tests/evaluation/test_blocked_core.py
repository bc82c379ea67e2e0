"""Blocked evaluations: what wakes what."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.evaluation.blocked import FORGET_NS, RETRY_NS, BlockedEvals
from daemon.model.enums import EvalStatus, Trigger
from daemon.model.evaluation import Evaluation

NOW = 1_000_000_000_000


def ev(id_: str, job: str = "", **facts: Any) -> Evaluation:
    fields: dict[str, Any] = {
        "id": id_,
        "job_id": job or f"job-{id_}",
        "type": "service",
        "status": EvalStatus.BLOCKED,
        "triggered_by": Trigger.QUEUED_ALLOCS,
        "snapshot_index": 10,
    }
    return Evaluation(**(fields | facts))


def ids(evaluations: list[Evaluation]) -> list[str]:
    return [evaluation.id for evaluation in evaluations]


def test_be1_an_eligible_class_wakes() -> None:
    blocked = BlockedEvals()
    blocked.block(ev("a", class_eligibility={"A": True, "B": False}))
    assert ids(blocked.unblock_class("B", 11, NOW)) == []
    assert ids(blocked.unblock_class("A", 12, NOW)) == ["a"]
    assert not blocked.tracked("a")


def test_be3_a_class_never_seen_wakes() -> None:
    blocked = BlockedEvals()
    blocked.block(ev("a", class_eligibility={"A": False}))
    assert ids(blocked.unblock_class("B", 11, NOW)) == ["a"]


def test_be4_an_escaped_one_wakes_on_any_class() -> None:
    blocked = BlockedEvals()
    blocked.block(ev("a", escaped_computed_class=True))
    assert ids(blocked.unblock_class("whatever", 11, NOW)) == ["a"]


def test_be5_the_newer_of_a_job_displaces_the_older() -> None:
    blocked = BlockedEvals()
    blocked.block(ev("old", "job", create_index=11))
    blocked.block(ev("new", "job", create_index=12))
    assert ids(blocked.drain_cancelable()) == ["old"]
    blocked.block(ev("late", "job", create_index=5))
    assert ids(blocked.drain_cancelable()) == ["late"]
    assert ids(blocked.unblock_class("A", 20, NOW)) == ["new"]


def test_be7_only_those_of_failed_plans_are_retried_each_minute() -> None:
    blocked = BlockedEvals()
    blocked.tick(NOW)
    blocked.block(ev("fought", triggered_by=Trigger.MAX_PLAN_ATTEMPTS))
    blocked.block(ev("full"))
    assert blocked.tick(NOW + RETRY_NS - 1) == []
    assert blocked.next_deadline() == NOW + RETRY_NS
    assert ids(blocked.tick(NOW + RETRY_NS)) == ["fought"]
    assert blocked.tracked("full")


def test_be8_a_success_of_the_job_untracks() -> None:
    blocked = BlockedEvals()
    blocked.block(ev("a", "job"))
    blocked.block(ev("n", "job", node_id="n1"))
    assert ids(blocked.untrack("default", "job")) == ["a", "n"]
    assert blocked.untrack("default", "job") == []
    assert blocked.unblock_class("A", 11, NOW) == []


def test_be9_a_system_evaluation_wakes_with_its_node_only() -> None:
    blocked = BlockedEvals()
    blocked.block(ev("n", "job", node_id="N", type="system"))
    blocked.block(ev("m", "job", node_id="M", type="system"))
    assert blocked.unblock_class("A", 11, NOW) == []
    assert ids(blocked.unblock_node("N", 12, NOW)) == ["n"]
    assert blocked.stats().nodes == 1


def test_a_missed_wake_up_sends_it_straight_back() -> None:
    blocked = BlockedEvals()
    blocked.unblock_class("A", 15, NOW)
    blocked.unblock_node("N", 15, NOW)
    assert ids(blocked.block(ev("stale", class_eligibility={"A": True}))) == ["stale"]
    assert ids(blocked.block(ev("unseen"))) == ["unseen"]
    assert ids(blocked.block(ev("node", node_id="N"))) == ["node"]
    assert blocked.block(ev("fresh", snapshot_index=15)) == []
    assert blocked.block(ev("deaf", class_eligibility={"A": False})) == []
    assert blocked.block(ev("other", node_id="M")) == []


def test_wake_ups_are_forgotten_after_a_while() -> None:
    blocked = BlockedEvals()
    blocked.unblock_class("A", 15, NOW)
    blocked.tick(NOW + FORGET_NS + 1)
    assert blocked.block(ev("a")) == []


def test_stats_and_flush() -> None:
    blocked = BlockedEvals()
    blocked.block(ev("a"))
    blocked.block(ev("b", escaped_computed_class=True))
    stats = blocked.stats()
    assert (stats.captured, stats.escaped, stats.nodes) == (1, 1, 0)
    blocked.flush()
    assert blocked.stats().captured == 0 and not blocked.tracked("a")


EVALS = st.lists(
    st.one_of(
        st.tuples(
            st.just("block"),
            st.integers(0, 5),
            st.dictionaries(st.sampled_from("ABC"), st.booleans(), max_size=3),
            st.booleans(),
            st.sampled_from(["", "", "N", "M"]),
        ),
        st.tuples(st.just("class"), st.sampled_from("ABCD")),
        st.tuples(st.just("node"), st.sampled_from("NM")),
        st.tuples(st.just("untrack"), st.integers(0, 5)),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(EVALS)
def test_wakes_what_a_scan_of_all_would_wake(steps: list[tuple[Any, ...]]) -> None:
    blocked = BlockedEvals()
    kept: dict[str, Evaluation] = {}
    for number, step in enumerate(steps):
        match step:
            case ("block", job, classes, escaped, node):
                evaluation = ev(
                    f"e{number}",
                    f"j{job}",
                    class_eligibility=classes,
                    escaped_computed_class=escaped,
                    node_id=node,
                    create_index=number,
                    snapshot_index=number,
                )
                same = [e for e in kept.values() if (e.job_id, e.node_id) == (evaluation.job_id, node)]
                for other in same:
                    del kept[other.id]
                assert blocked.block(evaluation) == []
                assert blocked.drain_cancelable() == same
                kept[evaluation.id] = evaluation
            case ("class", word):
                woken = [
                    e
                    for e in kept.values()
                    if not e.node_id and (e.escaped_computed_class or e.class_eligibility.get(word, True))
                ]
                assert blocked.unblock_class(word, number, NOW) == woken
                kept = {e.id: e for e in kept.values() if e not in woken}
            case ("node", node):
                woken = [e for e in kept.values() if e.node_id == node]
                assert blocked.unblock_node(node, number, NOW) == woken
                kept = {e.id: e for e in kept.values() if e not in woken}
            case ("untrack", job):
                gone = blocked.untrack("default", f"j{job}")
                assert gone == [e for e in kept.values() if e.job_id == f"j{job}"]
                kept = {e.id: e for e in kept.values() if e not in gone}
        stats = blocked.stats()
        assert stats.captured + stats.escaped + stats.nodes == len(kept)
