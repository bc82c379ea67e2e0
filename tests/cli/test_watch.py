"""Lines about allocations and evaluations."""

from __future__ import annotations

from daemon.cli.watch import LINES_MAX, AllocWatch, EvalWatch
from daemon.model.metrics import AllocMetric, NearestMiss
from daemon.rpc.messages import EvalResponse
from tests.cli.made import EVAL, make_alloc, make_eval, running


def test_allocations_are_said_once_and_when_they_change() -> None:
    watch = AllocWatch()
    assert [line.text for line in watch.step([make_alloc()])] == [
        'Allocation "8a1f0000" created: node "3c9e0000", group "front"'
    ]
    assert watch.step([make_alloc()]) == []
    assert [line.text for line in watch.step([running(client_description="2 tasks run")])] == [
        'Allocation "8a1f0000" status changed: "pending" -> "running" (2 tasks run)'
    ]


def test_adopted_allocations_are_not_announced() -> None:
    watch = AllocWatch()
    watch.adopt([make_alloc()])
    assert watch.step([make_alloc()]) == []


def test_a_crowd_is_counted_not_listed() -> None:
    watch = AllocWatch()
    crowd = [make_alloc(id=f"{number:08d}") for number in range(LINES_MAX + 500)]
    lines = watch.step(crowd)
    assert len(lines) == LINES_MAX + 1
    assert lines[-1].text == "... and 500 more allocations changed"
    assert watch.step(crowd) == []


def test_an_evaluation_from_pending_to_complete() -> None:
    watch = EvalWatch(EVAL)
    first = watch.step(EvalResponse(evaluation=make_eval(status="pending")), [])
    assert [line.text for line in first] == ['Evaluation triggered by job "web"']
    assert watch.ended is None
    second = watch.step(EvalResponse(evaluation=make_eval()), [make_alloc()])
    assert [line.text for line in second] == [
        'Allocation "8a1f0000" created: node "3c9e0000", group "front"',
        'Evaluation status changed: "pending" -> "complete"',
        'Evaluation "5f3a0000" finished with status "complete"',
    ]
    assert watch.ended is not None


def test_placement_failures_are_explained() -> None:
    metric = AllocMetric(
        nodes_evaluated=3,
        constraint_filtered={"${attr.cpu.arch} = arm64": 2},
        nodes_exhausted=1,
        dimension_exhausted={"memory": 1},
        coalesced_failures=1,
        nearest_miss=NearestMiss(node_name="node-1", lacks=("memory: has 100 MB, needs 900 MB",)),
        suggestions=("memory were at most 100 MB",),
    )
    each = make_eval(failed_tg_allocs={"front": metric}, blocked_eval="77aa0000-0000")
    lines = EvalWatch(EVAL).step(EvalResponse(evaluation=each), [])
    assert [line.text for line in lines][1:] == [
        'Evaluation "5f3a0000" finished with status "complete" but failed to place all allocations:',
        '    Task Group "front" (failed to place 2 allocations):',
        '      * Constraint "${attr.cpu.arch} = arm64": 2 nodes excluded by filter',
        "      * Resources exhausted on 1 node",
        '      * Dimension "memory" exhausted on 1 node',
        "      * Nearest miss: node node-1, which lacks memory: has 100 MB, needs 900 MB",
        "      * It would be placed if: memory were at most 100 MB",
        'Evaluation "77aa0000" waiting for additional capacity to place the remainder',
    ]


def test_a_failed_evaluation_says_why() -> None:
    each = make_eval(status="failed", status_description="no worker has finished it 3 times")
    lines = EvalWatch(EVAL).step(EvalResponse(evaluation=each), [])
    assert lines[-1].text == (
        'Evaluation "5f3a0000" finished with status "failed": no worker has finished it 3 times'
    )
