"""What `node drain` says while it follows."""

from __future__ import annotations

import msgspec
import pytest

from daemon.cli.drain_watch import DrainWatch, deadline_words
from daemon.model.alloc import Allocation, DesiredTransition
from daemon.model.base import NS_PER_S
from daemon.model.enums import ClientStatus, DesiredStatus
from daemon.model.node import DrainMetadata, DrainStrategy, Node

NOW = 10**18
DRAIN = DrainStrategy(deadline_ns=60 * NS_PER_S, started_at_ns=NOW, force_deadline_ns=NOW + 60 * NS_PER_S)
NODE = Node(id="3c9e0000-0000-4000-8000-000000000001", drain_strategy=DRAIN)
ALLOC = Allocation(
    id="aaaa0000-0000-4000-8000-000000000001", name="web.g[0]", job_id="web", task_group="g", node_id=NODE.id,
    client_status=ClientStatus.RUNNING,
)  # fmt: skip
MARKED = msgspec.structs.replace(ALLOC, desired_transition=DesiredTransition(migrate=True))
STOPPING = msgspec.structs.replace(MARKED, desired_status=DesiredStatus.STOP)
GONE = msgspec.structs.replace(STOPPING, client_status=ClientStatus.COMPLETE)


def ended(status: str) -> Node:
    last = DrainMetadata(started_at_ns=NOW, updated_at_ns=NOW, status=status)
    return msgspec.structs.replace(NODE, drain_strategy=None, last_drain=last)


def texts(watch: DrainWatch, node: Node, *allocs: Allocation, after_s: int = 0) -> list[str]:
    return [line.text for line in watch.step(node, allocs, NOW + after_s * NS_PER_S)]


def test_the_story_of_a_drain() -> None:
    watch = DrainWatch()
    assert texts(watch, NODE, ALLOC) == [
        'Node "3c9e0000" drains; what is left is moved in 1m',
        '1 allocation left; not moved yet: 1 of "web"; what is left is moved in 1m',
    ]
    assert texts(watch, NODE, ALLOC, after_s=1) == []
    assert texts(watch, NODE, MARKED, after_s=2) == ['Alloc "aaaa0000" (web.g[0]) marked for migration']
    assert texts(watch, NODE, STOPPING, after_s=3) == ['Alloc "aaaa0000" (web.g[0]) draining']
    assert texts(watch, ended("complete"), STOPPING, after_s=4) == ['Drain complete for node "3c9e0000"']
    assert watch.drained and not watch.empty
    assert texts(watch, ended("complete"), GONE, after_s=5) == [
        'Alloc "aaaa0000" (web.g[0]) status running -> complete'
    ]
    assert watch.empty and watch.outcome == "complete"


def test_what_is_waited_for_is_said_again_after_half_a_minute() -> None:
    watch = DrainWatch()
    texts(watch, NODE, ALLOC)
    assert texts(watch, NODE, ALLOC, after_s=29) == []
    [line] = texts(watch, NODE, ALLOC, after_s=30)
    assert "1 allocation left" in line and "30s" in line


def test_a_change_of_the_drain_is_said_and_a_canceled_one_waits_for_nothing_it_left_alone() -> None:
    watch = DrainWatch()
    texts(watch, NODE, ALLOC)
    forced = msgspec.structs.replace(NODE, drain_strategy=DrainStrategy(deadline_ns=-1))
    assert texts(watch, forced, ALLOC) == ['Node "3c9e0000" drain updated: everything is moved now']
    assert texts(watch, ended("canceled"), ALLOC) == ['The drain of node "3c9e0000" was canceled']
    assert watch.empty and watch.outcome == "canceled"


def test_many_changes_are_counted_not_listed() -> None:
    watch = DrainWatch()
    many = [msgspec.structs.replace(MARKED, id=f"{n:08x}-0000-4000-8000-000000000001") for n in range(100)]
    assert "... and 70 more allocations changed" in texts(watch, NODE, *many)


@pytest.mark.parametrize(
    ("drain", "words"),
    [
        (DRAIN, "what is left is moved in 1m"),
        (DrainStrategy(), "without deadline"),
        (DrainStrategy(deadline_ns=-1), "everything is moved now"),
        (DrainStrategy(deadline_ns=1, force_deadline_ns=NOW), "the deadline is over"),
    ],
)
def test_deadlines_in_words(drain: DrainStrategy, words: str) -> None:
    assert deadline_words(drain, NOW) == words
