"""What is shown: golden lines, and that they fit eighty columns."""

from __future__ import annotations

from datetime import UTC

import msgspec
import pytest

from daemon.cli.restart_plan import batches, restarted
from daemon.cli.views import allocs, evals, jobs, nodes
from daemon.cli.views.metrics import score_lines
from daemon.cli.views.plan import changes, group_words, plan
from daemon.cli.views.why import why
from daemon.jobspec.diff import annotate, diff_jobs
from daemon.model.base import decode, encode
from daemon.model.enums import TaskStateName
from daemon.model.errors import InvalidInput
from daemon.model.metrics import AllocMetric, NodeScore
from daemon.model.node import DriverInfo, Node, NodeEvent, NodeResources
from daemon.model.plan import GroupAnnotation
from daemon.model.resources import (
    AllocatedDevice,
    AllocatedPort,
    AllocatedResources,
    AllocatedShared,
    AllocatedTask,
)
from daemon.model.tasks import TaskEvent, TaskState
from daemon.rpc.messages import (
    GroupWhy,
    HostStatsResponse,
    JobPlanResponse,
    JobSummary,
    JobWhyResponse,
    NodeResponse,
    NodeStub,
)
from tests.cli.made import (
    ALLOC_2,
    EVAL,
    NODE,
    NOW_NS,
    S,
    failed,
    make_alloc,
    make_eval,
    make_job,
    make_stub,
    running,
)


def fits(lines: list[str]) -> bool:
    return all(len(line) <= 80 for line in lines)


def test_job_list() -> None:
    stubs = [
        make_stub(),
        make_stub(id="nightly", type="batch", status="dead", stop=True),
        make_stub(parent_id="web"),
    ]
    lines = jobs.job_list(stubs, all_namespaces=False, zone=UTC)
    assert lines == [
        "ID       Type     Priority  Status          Submit Date",
        "web      service  50        running         2026-01-02T03:04:05Z",
        "nightly  batch    50        dead (stopped)  2026-01-02T03:04:05Z",
    ]
    assert "Namespace" in jobs.job_list(stubs, all_namespaces=True)[0]
    assert jobs.job_list([], all_namespaces=False) == ["No running jobs"]


def test_one_job() -> None:
    assert jobs.job_pairs(make_job(), zone=UTC) == [
        "ID          = web",
        "Name        = web",
        "Submit Date = 2026-01-02T03:04:05Z",
        "Type        = service",
        "Priority    = 50",
        "Datacenters = *",
        "Namespace   = default",
        "Node Pool   = default",
        "Version     = 0",
        "Status      = pending",
    ]
    summary = jobs.summary({"front": JobSummary(running=2, failed=1)})
    assert summary == [
        "Task Group  Queued  Starting  Running  Failed  Complete  Lost  Unknown",
        "front       0       0         2        1       0         0     0",
    ]


def test_allocation_table_fits_even_when_it_is_old() -> None:
    rows = [
        make_alloc(),
        failed(desired_status="stop", job_version=99, create_time_ns=NOW_NS - 35999 * S),
        make_alloc(client_status="complete", modify_time_ns=NOW_NS - 599 * S),
    ]
    lines = jobs.alloc_table(rows, NOW_NS)
    assert lines[:2] == [
        "ID        Node ID   Task Group  Version  Desired  Status    Created    Modified",
        "8a1f0000  3c9e0000  front       0        run      pending   1m5s ago   5s ago",
    ]
    assert fits(lines)
    assert NODE in jobs.alloc_table(rows, NOW_NS, verbose=True)[1]
    assert jobs.alloc_table([], NOW_NS) == []


def test_evaluations() -> None:
    lines = evals.eval_list([make_eval(), make_eval(status="blocked")])
    assert lines == [
        "ID        Priority  Triggered By  Job ID  Status    Placement Failures",
        "5f3a0000  50        job-register  web     complete  false",
        "5f3a0000  50        job-register  web     blocked   N/A - In Progress",
    ]
    assert fits(lines)
    assert EVAL in evals.eval_pairs(make_eval())[0]


def test_what_a_task_was_given_by_the_piece_is_shown() -> None:
    device = AllocatedDevice(vendor="nvidia", type="gpu", name="t4", device_ids=("0", "2"))
    task = AllocatedTask(cpu_shares=4000, memory_mb=64, reserved_cores=(1, 3), devices=(device,))
    given = AllocatedResources(tasks={"server": task}, shared=AllocatedShared(disk_mb=300))
    assert allocs.tasks(failed(allocated_resources=given), make_job(), zone=UTC)[2:6] == [
        "Task Resources:",
        "CPU                   Memory  Disk",
        "4000 MHz (cores 1,3)  64 MiB  300 MiB",
        "Device nvidia/gpu/t4: 0, 2",
    ]


def test_allocation_facts_and_tasks() -> None:
    given = AllocatedResources(
        tasks={"server": AllocatedTask(cpu_shares=500, memory_mb=256)},
        shared=AllocatedShared(
            disk_mb=300, ports=(AllocatedPort(label="http", value=21000, to=80, host_ip="127.0.0.1"),)
        ),
    )
    alloc = failed(allocated_resources=given, followup_eval_id=EVAL)
    facts = allocs.alloc_pairs(alloc, NOW_NS)
    assert "Client Status        = failed" not in facts and any("= failed" in line for line in facts)
    assert any(line.startswith("Reschedule Eval ID") for line in facts)
    assert allocs.addresses(alloc, make_job()) == [
        "Label  Dynamic  Address",
        "http   yes      127.0.0.1:21000 -> 80",
    ]
    assert allocs.tasks(alloc, make_job(), zone=UTC) == [
        "",
        'Task "server" is "failed" (dead)',
        "Task Resources:",
        "CPU      Memory   Disk",
        "500 MHz  256 MiB  300 MiB",
        "",
        "Task Events:",
        "Started At     = 2026-01-02T03:04:04Z",
        "Finished At    = N/A",
        "Total Restarts = 0",
        "Last Restart   = N/A",
        "",
        "Recent Events:",
        "Time                  Type        Description",
        "2026-01-02T03:04:05Z  Terminated  Exit code 3; it had run for 1 s",
    ]


def test_last_words_name_the_cause_not_what_followed() -> None:
    events = (
        TaskEvent(type="Driver Failure", time_ns=NOW_NS, display_message="command not found: 'x'"),
        TaskEvent(
            type="Not Restarting", time_ns=NOW_NS + 1, display_message="it cannot help", fails_task=True
        ),
    )
    alloc = failed(task_states={"server": TaskState(state=TaskStateName.DEAD, failed=True, events=events)})
    assert allocs.last_words(alloc) == ["Task \"server\": Driver Failure: command not found: 'x'"]


def test_a_task_that_has_not_begun_is_shown_from_the_job() -> None:
    lines = allocs.tasks(make_alloc(), make_job())
    assert 'Task "server" is "pending"' in lines
    assert "(none yet)" in lines


def test_nodes() -> None:
    stub = NodeStub(
        id=NODE, name="node-1", datacenter="dc1", node_class="", node_pool="default", status="ready"
    )
    lines = nodes.node_list([stub])
    assert lines == [
        "ID        Node Pool  DC   Name    Class   Drain  Eligibility  Status",
        "3c9e0000  default    dc1  node-1  <none>  false  eligible     ready",
    ]
    node = Node(
        id=NODE,
        drivers={
            "docker": DriverInfo(health_description="no engine answers at /var/run/docker.sock"),
            "raw_exec": DriverInfo(detected=True, healthy=True),
        },
        node_resources=NodeResources(cpu_shares=4000, memory_mb=8000, disk_mb=90000),
        events=(NodeEvent(message="registered", subsystem="Cluster", timestamp_ns=NOW_NS),),
    )
    assert nodes.drivers(node) == [
        "Driver    Detected  Healthy  Message",
        "docker    false     false    no engine answers at /var/run/docker.sock",
        "raw_exec  true      healthy  <none>",
    ]
    assert nodes.node_events(node, zone=UTC)[1] == "2026-01-02T03:04:05Z  Cluster    registered"
    answer = NodeResponse(node=node, allocated_cpu=500, allocated_memory_mb=256, allocations=1)
    assert nodes.allocated(answer)[1] == "500/4000 MHz  256/8000 MiB  0/90000 MiB  1"
    usage = HostStatsResponse(
        cpu_percent=12.34, memory_total_bytes=8 << 30, memory_used_bytes=1 << 30, uptime_s=99
    )
    assert nodes.host_usage(usage)[1].startswith("12.3%  1.0 GiB/8.0 GiB")


def test_why() -> None:
    answer = JobWhyResponse(
        id="web",
        status="pending",
        headline="1 of 3 allocations is not placed",
        groups=(
            GroupWhy(
                group="front",
                desired=3,
                running=2,
                missing=1,
                lines=(
                    "memory: 2 of 2 nodes have less than 900 MB free",
                    "It would be placed if: memory <= 100 MB",
                ),
            ),
        ),
        blocked_eval=EVAL,
    )
    assert why(answer) == [
        'Job "web": 1 of 3 allocations is not placed',
        "",
        'Group "front": 2 of 3 running, 1 not placed',
        "  memory: 2 of 2 nodes have less than 900 MB free",
        "  It would be placed if: memory <= 100 MB",
        "",
        "Evaluation 5f3a0000 waits for a change that makes room.",
    ]


def test_plan_shows_the_diff_as_it_came_over_the_wire() -> None:
    after = make_job(count=2)
    annotations = {"front": GroupAnnotation(place=1, ignore=1)}
    diff = annotate(diff_jobs(make_job(), after), annotations)
    answer = JobPlanResponse(
        diff=msgspec.to_builtins(diff, str_keys=True), annotations=annotations, job_modify_index=7
    )
    lines = plan(decode(encode(answer), JobPlanResponse), "web.hcl")
    assert lines[:4] == [
        '+/- Job: "web"',
        '+/- Task Group: "front" (1 create, 1 ignore)',
        '  +/- Count: "1" => "2" (forces create)',
        "",
    ]
    assert lines[4:] == [
        "Scheduler dry-run:",
        '- Task Group "front": 1 create, 1 ignore',
        "- All tasks successfully allocated.",
        "",
        "Job Modify Index: 7",
        "To submit the job only if nobody changes it in between, run:",
        "",
        "encamp job run -check-index 7 web.hcl",
    ]
    assert plan(answer, "web.hcl", color=True)[0] == '\x1b[33m+/-\x1b[0m Job: "web"'


@pytest.mark.parametrize(
    ("annotation", "words", "changing"),
    [
        (GroupAnnotation(place=2, ignore=1), "2 create, 1 ignore", True),
        (GroupAnnotation(in_place_update=1), "1 in-place update", False),
        (GroupAnnotation(destructive_update=1), "1 create/destroy update", True),
        (GroupAnnotation(stop=1), "1 destroy", True),
        (GroupAnnotation(ignore=4), "4 ignore", False),
        (GroupAnnotation(), "", False),
    ],
)
def test_plan_words(annotation: GroupAnnotation, words: str, changing: bool) -> None:
    assert group_words(annotation) == words
    assert changes({"front": annotation}) is changing


@pytest.mark.parametrize(
    ("count", "size", "cut"),
    [(5, "2", [2, 2, 1]), (5, "100%", [5]), (5, "40%", [2, 2, 1]), (3, "1%", [1, 1, 1]), (3, "9", [3])],
)
def test_batches(count: int, size: str, cut: list[int]) -> None:
    listed = [make_alloc(id=f"{n:08d}", name=f"web.front[{n}]") for n in range(count)]
    assert [len(batch) for batch in batches(listed, size)] == cut


@pytest.mark.parametrize("size", ["0", "-1", "x", "101%", "%"])
def test_bad_batches(size: str) -> None:
    with pytest.raises(InvalidInput, match="batch-size"):
        batches([make_alloc()], size)


def test_restarted_only_when_started_anew() -> None:
    assert not restarted(running(), running(), "", False)
    assert restarted(running(), running(restarts=1), "", False)
    assert not restarted(running(), make_alloc(), "", False)
    assert restarted(running(), running(id=ALLOC_2), "", True)


def test_the_scores_of_the_best_nodes_with_their_parts() -> None:
    parts = {"binpack": 0.5, "node-affinity": -0.25, "allocation-spread": 0.625}
    metric = AllocMetric(score_meta_data=(NodeScore(node_id="46469a99-x", norm_score=0.29166, scores=parts),))
    assert score_lines(metric) == [
        "46469a99  0.292 = mean of allocation-spread 0.625, binpack 0.500, node-affinity -0.250"
    ]
