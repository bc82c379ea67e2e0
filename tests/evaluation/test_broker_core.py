"""The broker: scripts of the reference's cases, and a property against a plain list."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.evaluation.broker import Broker
from daemon.model.enums import Trigger
from daemon.model.errors import Conflict, NotFound
from daemon.model.evaluation import Evaluation

SECOND = 1_000_000_000
ALL = ("service", "batch", "system")


def ev(id_: str, job: str = "", **facts: Any) -> Evaluation:
    fields: dict[str, Any] = {
        "id": id_,
        "job_id": job or f"job-{id_}",
        "type": "service",
        "triggered_by": Trigger.JOB_REGISTER,
    }
    return Evaluation(**(fields | facts))


def take(broker: Broker, now: int = 0) -> tuple[str, str]:
    got = broker.dequeue(ALL, now)
    assert got is not None
    return got[0].id, got[1]


def test_eb1_priority_then_age() -> None:
    broker = Broker()
    for evaluation in (
        ev("low", priority=10, create_index=1),
        ev("young", priority=30, create_index=9),
        ev("old", priority=30, create_index=5, type="batch"),
    ):
        broker.enqueue(evaluation, 0)
    assert [take(broker)[0] for _ in range(3)] == ["old", "young", "low"]
    assert broker.dequeue(ALL, 0) is None


def test_who_wants_only_fresh_ones_gets_none_that_was_handed_out_before() -> None:
    broker = Broker()
    broker.enqueue(ev("again", priority=90), 0)
    id_, token = take(broker)
    broker.nack(id_, token, 0)
    broker.enqueue(ev("new"), 0)
    broker.tick(SECOND)
    assert broker.deliveries("again") == 1 and broker.deliveries("nobody") == 0
    assert broker.dequeue(ALL, SECOND, fresh_only=True) is None
    assert take(broker, SECOND)[0] == "again"
    assert broker.dequeue(ALL, SECOND, fresh_only=True) is not None


def test_types_are_queues_of_their_own() -> None:
    broker = Broker()
    broker.enqueue(ev("s"), 0)
    assert broker.dequeue(("batch", "system"), 0) is None
    assert broker.has_ready(("service",)) and not broker.has_ready(("batch",))


def test_eb2_one_evaluation_of_a_job_at_a_time() -> None:
    broker = Broker()
    broker.enqueue(ev("a", "job"), 0)
    broker.enqueue(ev("b", "job"), 0)
    id_, token = take(broker)
    assert id_ == "a" and broker.dequeue(ALL, 0) is None
    broker.ack("a", token, 0)
    assert take(broker)[0] == "b"


def test_eb3_equal_job_ids_in_two_namespaces_do_not_wait_for_each_other() -> None:
    broker = Broker()
    broker.enqueue(ev("a", "job"), 0)
    broker.enqueue(ev("b", "job", namespace="other"), 0)
    assert {take(broker)[0], take(broker)[0]} == {"a", "b"}


def test_eb5_redelivery_waits_longer_each_time_then_fails() -> None:
    broker = Broker()
    broker.enqueue(ev("a"), 0)
    now = 0
    for delay in (1 * SECOND, 20 * SECOND):
        _, token = take(broker, now)
        broker.nack("a", token, now)
        broker.tick(now + delay - 1)
        assert broker.dequeue(ALL, now + delay - 1) is None
        now += delay
        assert broker.next_deadline() == now
        broker.tick(now)
    _, token = take(broker, now)
    broker.nack("a", token, now)
    broker.tick(now + 10_000 * SECOND)
    assert broker.dequeue(ALL, now) is None
    assert broker.stats().failed == 1
    assert [e.id for e in broker.drain_failed()] == ["a"]
    assert broker.stats().failed == 0


def test_eb6_an_ack_on_the_third_delivery_is_a_success() -> None:
    broker = Broker()
    broker.enqueue(ev("a"), 0)
    for now in (0, 100 * SECOND, 200 * SECOND):
        broker.tick(now)
        _, token = take(broker, now)
        if now < 200 * SECOND:
            broker.nack("a", token, now)
    broker.ack("a", token, 200 * SECOND)
    assert broker.drain_failed() == [] and broker.outstanding("a") is None


def test_eb7_after_an_ack_the_best_follows_and_the_others_are_canceled() -> None:
    broker = Broker()
    broker.enqueue(ev("a", "job"), 0)
    _, token = take(broker)
    broker.enqueue(ev("b", "job", priority=50, modify_index=7), 0)
    broker.enqueue(ev("c", "job", priority=50, modify_index=9), 0)
    broker.enqueue(ev("d", "job", priority=40, modify_index=99), 0)
    broker.ack("a", token, 0)
    assert take(broker)[0] == "c"
    assert sorted(e.id for e in broker.drain_cancelable()) == ["b", "d"]
    assert broker.drain_cancelable() == []


def test_an_evaluation_that_answers_for_those_of_other_nodes_looks_at_all_nodes() -> None:
    broker = Broker()
    for id_, node in (("a", "n1"), ("b", "n2"), ("c", "n3")):
        broker.enqueue(ev(id_, "job", type="system", node_id=node), 0)
    broker.ack(*take(broker), 0)
    got = broker.dequeue(ALL, 0)
    assert got is not None and got[0].node_id == ""
    assert len(broker.drain_cancelable()) == 1
    broker.ack(got[0].id, got[1], 0)
    for id_ in ("d", "e"):
        broker.enqueue(ev(id_, "job", type="system", node_id="n1"), 0)
    broker.ack(*take(broker), 0)
    again = broker.dequeue(ALL, 0)
    assert again is not None and again[0].node_id == "n1"


def test_eb9_requeue_waits_for_the_ack_and_falls_with_a_nack() -> None:
    broker = Broker()
    broker.enqueue(ev("a"), 0)
    _, token = take(broker)
    broker.requeue(ev("a", status_description="again"), token)
    broker.ack("a", token, 0)
    got = broker.dequeue(ALL, 0)
    assert got is not None and got[0].status_description == "again"
    broker.requeue(ev("a", status_description="dropped"), got[1])
    broker.nack("a", got[1], 0)
    broker.tick(SECOND)
    again = broker.dequeue(ALL, SECOND)
    assert again is not None and again[0].status_description == "again"
    broker.ack("a", again[1], SECOND)
    assert broker.dequeue(ALL, SECOND) is None


def test_eb10_a_failed_evaluation_holds_its_job_until_it_is_drained() -> None:
    broker = Broker()
    broker.enqueue(ev("a", "job"), 0)
    now = 0
    for _ in range(3):
        _, token = take(broker, now)
        broker.nack("a", token, now)
        now += 100 * SECOND
        broker.tick(now)
    broker.enqueue(ev("b", "job"), now)
    assert broker.dequeue(ALL, now) is None
    assert [e.id for e in broker.drain_failed()] == ["a"]
    assert take(broker, now)[0] == "b"


def test_no_answer_in_time_counts_as_a_nack() -> None:
    broker = Broker()
    broker.enqueue(ev("a"), 0)
    _, old = take(broker)
    broker.tick(60 * SECOND)
    broker.tick(61 * SECOND)
    _, new = take(broker, 61 * SECOND)
    assert new != old
    with pytest.raises(Conflict):
        broker.ack("a", old, 61 * SECOND)
    broker.ack("a", new, 61 * SECOND)
    with pytest.raises(NotFound):
        broker.ack("a", new, 61 * SECOND)


def test_touch_and_pause_hold_the_timer() -> None:
    broker = Broker()
    broker.enqueue(ev("a"), 0)
    _, token = take(broker)
    broker.pause("a", token)
    assert broker.next_deadline() is None
    broker.tick(1000 * SECOND)
    assert broker.outstanding("a") == token
    broker.touch("a", token, 1000 * SECOND)
    assert broker.next_deadline() == 1060 * SECOND


def test_waits_and_duplicates() -> None:
    broker = Broker()
    broker.enqueue(ev("a", wait_until_ns=5 * SECOND), 0)
    broker.enqueue(ev("a"), 0)
    assert broker.dequeue(ALL, 0) is None and broker.stats().waiting == 1
    broker.tick(5 * SECOND)
    assert take(broker, 5 * SECOND)[0] == "a"


def test_remove_frees_the_job() -> None:
    broker = Broker()
    broker.enqueue(ev("a", "job"), 0)
    broker.enqueue(ev("b", "job"), 0)
    assert broker.remove("a") and not broker.remove("a")
    assert take(broker)[0] == "b"
    assert not broker.remove("b")


def test_flush_forgets_everything() -> None:
    broker = Broker()
    broker.enqueue(ev("a"), 0)
    _, token = take(broker)
    broker.flush()
    assert broker.next_deadline() is None
    with pytest.raises(NotFound):
        broker.ack("a", token, 0)


class Twin:
    """The rules on plain lists."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, Any]] = {}
        self.order = 0

    def stamp(self) -> int:
        """Equal due times pass in the order in which they were set."""
        self.order += 1
        return self.order

    def holder(self, job: str) -> str | None:
        for id_, e in self.entries.items():
            if e["job"] == job and e["slot"]:
                return id_
        return None

    def ready(self, id_: str) -> None:
        e = self.entries[id_]
        holder = self.holder(e["job"])
        if holder not in (None, id_):
            e.update(place="pending", pend=self.stamp())
            return
        self.order += 1
        e.update(place="ready", slot=True, order=self.order)

    def enqueue(self, id_: str, job: str, priority: int, wait: int, now: int) -> None:
        if id_ in self.entries:
            return
        self.entries[id_] = {
            "job": job,
            "pri": priority,
            "slot": False,
            "n": 0,
            "place": "waiting",
            "due": (wait, self.stamp()),
        }
        if wait <= now:
            self.ready(id_)

    def dequeue(self, now: int) -> str | None:
        ready = [(-e["pri"], e["order"], id_) for id_, e in self.entries.items() if e["place"] == "ready"]
        if not ready:
            return None
        id_ = min(ready)[2]
        e = self.entries[id_]
        e.update(place="out", n=e["n"] + 1, due=(now + 60, self.stamp()))
        return id_

    def done(self, id_: str) -> None:
        job = self.entries.pop(id_)["job"]
        pending = [i for i, e in self.entries.items() if e["job"] == job and e["place"] == "pending"]
        if pending:
            best = max(pending, key=lambda i: (self.entries[i]["pri"], -self.entries[i]["pend"]))
            for other in pending:
                if other != best:
                    del self.entries[other]
            self.ready(best)

    def nack(self, id_: str, now: int) -> None:
        e = self.entries[id_]
        if e["n"] >= 3:
            e["place"] = "failed"
        else:
            e.update(place="waiting", due=(now + (1 if e["n"] == 1 else 20), self.stamp()))

    def tick(self, now: int) -> None:
        while True:
            due = [
                (e["due"], id_)
                for id_, e in self.entries.items()
                if e["place"] in ("waiting", "out") and e["due"][0] <= now
            ]
            if not due:
                return
            _, id_ = min(due)
            if self.entries[id_]["place"] == "out":
                self.nack(id_, now)
            else:
                self.ready(id_)


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("enqueue"), st.integers(0, 30), st.integers(0, 3), st.integers(1, 3), st.booleans()
        ),
        st.tuples(st.just("dequeue")),
        st.tuples(st.just("ack"), st.integers(0, 5)),
        st.tuples(st.just("nack"), st.integers(0, 5)),
        st.tuples(st.just("tick"), st.integers(0, 40)),
        st.tuples(st.just("drain")),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_behaves_like_a_plain_list(steps: list[tuple[Any, ...]]) -> None:
    broker, twin = Broker(), Twin()
    tokens: dict[str, str] = {}
    now = 0
    for number, step in enumerate(steps):
        match step:
            case ("enqueue", id_, job, priority, waits):
                wait = now + 7 if waits else 0
                broker.enqueue(
                    ev(f"e{id_}", f"j{job}", priority=priority, wait_until_ns=wait * SECOND), now * SECOND
                )
                twin.enqueue(f"e{id_}", f"j{job}", priority, wait, now)
            case ("dequeue",):
                got = broker.dequeue(ALL, now * SECOND)
                assert (got[0].id if got else None) == twin.dequeue(now)
                if got:
                    tokens[got[0].id] = got[1]
            case ("ack" | "nack" as what, n) if tokens:
                id_ = sorted(tokens)[n % len(tokens)]
                token = tokens.pop(id_)
                if broker.outstanding(id_) != token:
                    continue
                if what == "ack":
                    broker.ack(id_, token, now * SECOND)
                    twin.done(id_)
                else:
                    broker.nack(id_, token, now * SECOND)
                    twin.nack(id_, now)
            case ("tick", seconds):
                for _ in range(seconds):
                    now += 1
                    broker.tick(now * SECOND)
                    twin.tick(now)
            case ("drain",):
                drained = [e.id for e in broker.drain_failed()]
                failed = [id_ for id_, e in twin.entries.items() if e["place"] == "failed"]
                assert sorted(drained) == sorted(failed)
                for id_ in drained:
                    twin.done(id_)
        broker.check_invariants()
        stats = broker.stats()
        places = [e["place"] for e in twin.entries.values()]
        assert (stats.ready, stats.outstanding, stats.pending, stats.waiting, stats.failed) == tuple(
            places.count(word) for word in ("ready", "out", "pending", "waiting", "failed")
        ), number
