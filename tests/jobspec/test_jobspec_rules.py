"""Rules on job structs, as servers apply them; the support table; defaults."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daemon.jobspec.diagnostics import to_json as diagnostics_json
from daemon.jobspec.duration import format_duration, parse_duration
from daemon.jobspec.parse import parse_job
from daemon.jobspec.rules.policies import delays
from daemon.jobspec.schema.tables import JOB, BlockDef
from daemon.jobspec.support import IGNORED, REFUSED, UNSUPPORTED, UNSUPPORTED_VALUES
from daemon.jobspec.validate import validate_job
from daemon.model.defaults import canonicalize
from daemon.model.enums import JobType
from daemon.model.job import Job, Task, TaskGroup, VolumeRequest
from daemon.model.policies import (
    DisconnectStrategy,
    EphemeralDisk,
    ReschedulePolicy,
    RestartPolicy,
    UpdateStrategy,
)
from daemon.model.resources import DNSConfig, Network

ROOT = Path(__file__).parents[2]


def make_task(**changes: Any) -> Task:
    return Task(**{"name": "t", "driver": "raw_exec", "config": {"command": "x"}, **changes})


def make_group(**changes: Any) -> TaskGroup:
    return TaskGroup(**{"name": "g", "tasks": (make_task(),), **changes})


def make_job(**changes: Any) -> Job:
    return canonicalize(Job(**{"id": "j", "task_groups": (make_group(),), **changes}))


def said(job: Job) -> list[str]:
    return [str(each) for each in validate_job(job)]


def test_a_good_job_has_no_problems() -> None:
    assert said(make_job()) == []


@pytest.mark.parametrize(
    ("disconnect", "word"),
    [
        (DisconnectStrategy(reconcile="newest"), "reconcile"),
        (DisconnectStrategy(lost_after_ns=-1), "negative"),
        (DisconnectStrategy(lost_after_ns=1, stop_on_client_after_ns=1), "exclude"),
        (DisconnectStrategy(stop_on_client_after_ns=0), "more than 0"),
    ],
)
def test_disconnect_blocks_that_mean_nothing(disconnect: DisconnectStrategy, word: str) -> None:
    assert word in str(said(make_job(task_groups=(make_group(disconnect=disconnect),))))


@pytest.mark.parametrize(
    ("facts", "type_", "word"),
    [
        ({"access_mode": "single-node"}, JobType.SERVICE, "single-node-multi-writer"),
        ({"attachment_mode": "disk"}, JobType.SERVICE, "block-device"),
        ({"per_alloc": True}, JobType.SYSTEM, "per_alloc"),
        ({"per_alloc": True}, JobType.SYSBATCH, "per_alloc"),
    ],
)
def test_volumes_that_nobody_can_give(facts: dict[str, Any], type_: JobType, word: str) -> None:
    volume = VolumeRequest(name="v", source="s", **facts)
    assert word in str(said(make_job(type=type_, task_groups=(make_group(volumes={"v": volume}),))))


def test_volumes_may_be_sticky_numbered_and_of_a_mode() -> None:
    volume = VolumeRequest(
        name="v",
        source="s",
        sticky=True,
        per_alloc=True,
        access_mode="single-node-single-writer",
        attachment_mode="block-device",
    )
    assert said(make_job(task_groups=(make_group(volumes={"v": volume}),))) == []


NOT_YET = [
    make_job(task_groups=(make_group(ephemeral_disk=EphemeralDisk(migrate=True)),)),
    make_job(task_groups=(make_group(restart_policy=RestartPolicy(render_templates=True)),)),
    make_job(task_groups=(make_group(networks=(Network(mode="bridge"),)),)),
    make_job(task_groups=(make_group(networks=(Network(mode="cni/x"),)),)),
    make_job(task_groups=(make_group(networks=(Network(dns=DNSConfig()),)),)),
    make_job(task_groups=(make_group(volumes={"v": VolumeRequest(name="v", source="s", type="csi")}),)),
]


@pytest.mark.parametrize("job", NOT_YET, ids=range(len(NOT_YET)))
def test_structs_that_hold_more_than_is_acted_on_are_refused(job: Job) -> None:
    assert any("is not supported by this version" in each for each in said(job))


def test_payloads_come_from_dispatch_only() -> None:
    assert any("dispatch" in each for each in said(make_job(payload=b"x")))


def test_a_problem_names_its_path() -> None:
    job = make_job(task_groups=(make_group(tasks=(make_task(driver=""),)),))
    assert said(job) == ['group "g" > task "t" > driver: a task needs a driver (e.g. driver = "docker")']


def test_driver_configs_are_checked_by_the_driver() -> None:
    job = make_job(task_groups=(make_group(tasks=(make_task(config={}),)),))
    assert any("command" in each for each in said(job))
    assert validate_job(job, check_config=None) == []


def test_canonicalize_is_idempotent_and_fills_by_type() -> None:
    for job_type in (JobType.SERVICE, JobType.BATCH, JobType.SYSTEM):
        job = make_job(type=job_type, name="")
        assert canonicalize(job) == job
        assert job.name == "j"
        group = job.task_groups[0]
        assert (group.update is None) == (job_type is JobType.BATCH)
        assert (group.reschedule_policy is None) == (job_type is JobType.SYSTEM)


def test_a_jobs_update_reaches_its_groups() -> None:
    job = make_job(update=UpdateStrategy(max_parallel=7))
    assert job.task_groups[0].update == UpdateStrategy(max_parallel=7)


def test_delays_of_reschedule() -> None:
    second = 10**9
    policy = ReschedulePolicy(attempts=4, delay_ns=5 * second, max_delay_ns=3600 * second)
    assert delays(policy) == [5 * second, 10 * second, 20 * second, 40 * second]
    fibonacci = msgspec.structs.replace(policy, delay_function="fibonacci")
    assert delays(fibonacci) == [5 * second, 5 * second, 10 * second, 15 * second]
    capped = msgspec.structs.replace(policy, max_delay_ns=15 * second)
    assert delays(capped) == [5 * second, 10 * second, 15 * second, 15 * second]
    constant = msgspec.structs.replace(policy, delay_function="constant")
    assert delays(constant) == [5 * second] * 4


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("0", 0),
        ("90s", 90 * 10**9),
        ("1h30m", 5400 * 10**9),
        ("1.5h", 5400 * 10**9),
        ("100ms", 10**8),
        ("-5s", -5 * 10**9),
        ("1us", 1000),
        ("1µs", 1000),
    ],
)
def test_durations(text: str, ns: int) -> None:
    assert parse_duration(text) == ns
    assert parse_duration(format_duration(ns)) == ns


@pytest.mark.parametrize("text", ["", "s", "5", "5 s", "1d", "1h30", "--1s", "1e3s", "99999999999h"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


def blocks(definition: BlockDef) -> dict[str, set[str]]:
    found = {definition.name: {k.name for k in definition.keys} | {c.name for c in definition.children}}
    for child in definition.children:
        if child.block is not None:
            for name, keys in blocks(child.block).items():
                found.setdefault(name, set()).update(keys)
    return found


def test_the_support_table_speaks_of_blocks_that_exist_and_nothing_twice() -> None:
    known = blocks(JOB)
    for table in (UNSUPPORTED, IGNORED, REFUSED):
        for block, key in table:
            assert key not in known[block], f"{block}.{key} is acted on and listed as not"
    for block, key in UNSUPPORTED_VALUES:
        assert key in known[block]


def test_the_documentation_lists_every_row() -> None:
    text = (ROOT / "docs" / "compatibility.md").read_text()
    rows = set(re.findall(r"^\| `(\w+)` \| (.+?) \|", text, re.MULTILINE))
    listed = {(block, key) for block, keys in rows for key in re.findall(r"`([\w]+)`", keys)}
    wanted = set(UNSUPPORTED) | set(IGNORED) | set(REFUSED)
    assert wanted <= listed, sorted(wanted - listed)


def test_diagnostics_as_json() -> None:
    result = parse_job('job "a" {\n  typ = 1\n}', filename="f.hcl")
    first = next(each for each in diagnostics_json(result.diagnostics) if "typ" in each["Summary"])
    assert first["Severity"] == "error"
    assert first["Suggestion"] == 'did you mean "type"?'
    assert first["Range"]["Filename"] == "f.hcl"
    assert first["Range"]["Start"] == {"Line": 2, "Column": 3, "Offset": 12}
    assert first["Snippet"] == "  typ = 1"
