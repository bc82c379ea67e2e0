"""Commands about rollouts and versions against a scripted agent on the real wire."""

from __future__ import annotations

import itertools
import json
from typing import Any

import msgspec
import pytest

from daemon.model.deployment import Deployment, GroupDeployment
from daemon.model.enums import DeploymentStatus
from daemon.model.errors import Conflict, InvalidInput
from daemon.model.job import VersionTag
from daemon.rpc import messages as m
from daemon.rpc import methods
from tests.cli.conftest import Encamp
from tests.cli.made import ALLOC_2, ALLOC_3, make_alloc, make_eval, make_job, make_stub, running
from tests.cli.scripted import ScriptedAgent

ROW = Deployment(
    id=ALLOC_2,
    job_id="web",
    job_version=3,
    task_groups={
        "front": GroupDeployment(desired_total=4, desired_canaries=1, healthy_allocs=1, placed_allocs=1),
        "back": GroupDeployment(desired_total=2, auto_revert=True, unhealthy_allocs=1),
    },
    status_description="the rollout is under way; its canaries wait to be promoted",
)


@pytest.fixture
def rollouts(agent: ScriptedAgent) -> ScriptedAgent:
    agent.on(methods.JOB_LIST, m.JobListResponse(jobs=(make_stub(),)))
    agent.on(methods.DEPLOYMENT_LIST, m.DeploymentListResponse(deployments=(ROW,)))
    agent.on(methods.JOB_DEPLOYMENTS, m.DeploymentListResponse(deployments=(ROW,)))
    agent.on(methods.JOB_LATEST_DEPLOYMENT, m.DeploymentResponse(deployment=ROW))
    agent.on(methods.DEPLOYMENT_GET, m.DeploymentResponse(deployment=ROW))
    agent.on(methods.DEPLOYMENT_ALLOCS, m.AllocListResponse(allocations=(make_alloc(),)))
    for method in (methods.DEPLOYMENT_PROMOTE, methods.DEPLOYMENT_PAUSE, methods.DEPLOYMENT_FAIL):
        agent.on(method, m.DeploymentUpdateResponse(eval_id="e" * 36))
    return agent


def follow(agent: ScriptedAgent, *statuses: DeploymentStatus) -> None:
    rows = [msgspec.structs.replace(ROW, status=each, status_description=f"now {each}") for each in statuses]
    steps = itertools.chain(rows, itertools.repeat(rows[-1]))
    agent.on(methods.DEPLOYMENT_GET, lambda _: m.DeploymentResponse(deployment=next(steps)))


def test_lists_fit_and_are_json_too(rollouts: ScriptedAgent, encamp: Encamp) -> None:
    out = encamp("deployment", "list").out
    assert ALLOC_2[:8] in out and "web" in out and "running" in out
    assert max(map(len, out.splitlines())) <= 80
    assert json.loads(encamp("deployment", "list", "-json").out)[0]["JobVersion"] == 3
    assert encamp("job", "deployments", "web").out == out
    assert json.loads(encamp("job", "deployments", "-latest", "-json", "web").out)["ID"] == ALLOC_2


def test_status_shows_groups_and_what_to_do(rollouts: ScriptedAgent, encamp: Encamp) -> None:
    out = encamp("deployment", "status", ALLOC_2[:6]).out
    assert "front" in out and "back" in out and "Canaries" in out and "Auto Revert" in out
    assert "encamp job promote web" in out
    assert max(map(len, out.splitlines())) <= 80
    whole = json.loads(encamp("deployment", "status", "-json", ALLOC_2[:6]).out)
    assert whole["Deployment"]["ID"] == ALLOC_2 and len(whole["Allocations"]) == 1


@pytest.mark.parametrize(
    ("statuses", "code", "words"),
    [
        ([DeploymentStatus.RUNNING, DeploymentStatus.SUCCESSFUL], 0, "version 3 is rolled out"),
        ([DeploymentStatus.RUNNING, DeploymentStatus.FAILED], 1, "now failed"),
        ([DeploymentStatus.CANCELLED], 1, "is cancelled"),
    ],
)
def test_following_ends_with_the_deployment(
    rollouts: ScriptedAgent, encamp: Encamp, statuses: list[DeploymentStatus], code: int, words: str
) -> None:
    follow(rollouts, *statuses)
    result = encamp("deployment", "status", "-monitor", ALLOC_2[:6])
    assert result.code == code and words in result.out


def test_promoting_all_or_some(rollouts: ScriptedAgent, encamp: Encamp) -> None:
    follow(rollouts, DeploymentStatus.SUCCESSFUL)
    assert encamp("job", "promote", "web").code == 0
    assert encamp("deployment", "promote", "-detach", "-group", "front", ALLOC_2[:6]).code == 0
    first, second = rollouts.called(methods.DEPLOYMENT_PROMOTE)
    assert first.all and not first.groups
    assert not second.all and second.groups == ("front",)


def test_a_refusal_is_shown_as_it_is(rollouts: ScriptedAgent, encamp: Encamp) -> None:
    def refuse(_: Any) -> None:
        raise Conflict("group front has 0 of 1 canaries healthy")

    rollouts.on(methods.DEPLOYMENT_PROMOTE, refuse)
    result = encamp("job", "promote", "web")
    assert result.code == 1 and "0 of 1 canaries healthy" in result.err


def test_a_job_without_a_deployment(rollouts: ScriptedAgent, encamp: Encamp) -> None:
    rollouts.on(methods.JOB_LATEST_DEPLOYMENT, m.DeploymentResponse())
    result = encamp("job", "promote", "web")
    assert result.code == 1 and "no deployment" in result.err


def test_pause_resume_fail(rollouts: ScriptedAgent, encamp: Encamp) -> None:
    assert "is paused" in encamp("deployment", "pause", ALLOC_2[:6]).out
    assert "goes on" in encamp("deployment", "resume", ALLOC_2[:6]).out
    assert [request.pause for request in rollouts.called(methods.DEPLOYMENT_PAUSE)] == [True, False]
    rollouts.on(methods.DEPLOYMENT_FAIL, m.DeploymentUpdateResponse(reverted_job_version=5))
    assert "as version 5" in encamp("deployment", "fail", ALLOC_2[:6]).out


def test_reverting_by_number_and_by_tag(rollouts: ScriptedAgent, encamp: Encamp) -> None:
    rollouts.on(methods.JOB_REVERT, m.JobRegisterResponse(eval_id="e" * 36, version=4))
    tagged = make_job(version=2, version_tag=VersionTag(name="good"))
    rollouts.on(methods.JOB_VERSIONS, m.JobVersionsResponse(versions=(make_job(version=3), tagged)))
    assert encamp("job", "revert", "-detach", "web", "1").code == 0
    assert encamp("job", "revert", "-detach", "-tag", "good", "web").code == 0
    assert [each.job_version for each in rollouts.called(methods.JOB_REVERT)] == [1, 2]
    missing = encamp("job", "revert", "-tag", "bad", "web")
    assert missing.code == 1 and "its tags: good" in missing.err
    assert encamp("job", "revert", "web").code == 1


def test_reverting_follows_until_healthy(rollouts: ScriptedAgent, encamp: Encamp) -> None:
    rollouts.on(methods.JOB_REVERT, m.JobRegisterResponse(eval_id="e" * 36, version=4))
    rollouts.on(methods.EVAL_GET, m.EvalResponse(evaluation=make_eval()))
    rollouts.on(methods.JOB_GET, m.JobResponse(job=make_job(version=4)))
    up = running(healthy=True, job_version=4)
    rollouts.on(methods.ALLOC_LIST, m.AllocListResponse(allocations=(up,)))
    result = encamp("job", "revert", "web", "1")
    assert result.code == 0 and "version 1 comes back as version 4" in result.out


def test_tags(rollouts: ScriptedAgent, encamp: Encamp) -> None:
    rollouts.on(methods.JOB_TAG, m.JobTagResponse(version=2))
    assert 'is called "good"' in encamp("job", "tag", "apply", "-name", "good", "-version", "2", "web").out
    assert encamp("job", "tag", "unset", "-name", "good", "web").code == 0
    first, second = rollouts.called(methods.JOB_TAG)
    assert (first.name, first.version, first.unset) == ("good", 2, False) and second.unset


def test_status_without_an_id_is_the_list(rollouts: ScriptedAgent, encamp: Encamp) -> None:
    assert encamp("deployment", "status").out == encamp("deployment", "list").out
    result = encamp("deployment", "status", "-monitor")
    assert result.code == 1 and "encamp deployment list" in result.err
    assert "Progress Deadline" in encamp("deployment", "status", "-verbose", ALLOC_2[:6]).out


def test_a_refused_promotion_names_the_canaries_that_are_not_healthy(
    rollouts: ScriptedAgent, encamp: Encamp
) -> None:
    good, bad = running(healthy=True), running(healthy=False, id=ALLOC_3)
    group = msgspec.structs.replace(ROW.task_groups["front"], placed_canaries=(good.id, bad.id))
    row = msgspec.structs.replace(ROW, task_groups={"front": group})
    rollouts.on(methods.DEPLOYMENT_LIST, m.DeploymentListResponse(deployments=(row,)))
    rollouts.on(methods.DEPLOYMENT_ALLOCS, m.AllocListResponse(allocations=(good, bad)))

    def refuse(_: Any) -> None:
        raise InvalidInput("group 'front' has 1 healthy canaries of 2")

    rollouts.on(methods.DEPLOYMENT_PROMOTE, refuse)
    result = encamp("job", "promote", "web")
    assert result.code == 1 and "1 healthy canaries of 2" in result.err
    assert f"canary {ALLOC_3[:8]} of group 'front' is running, unhealthy" in result.err
    assert good.id[:8] not in result.err


def test_rollouts_of_an_earlier_job_only_with_all(rollouts: ScriptedAgent, encamp: Encamp) -> None:
    old = msgspec.structs.replace(ROW, id=ALLOC_3, job_create_index=7)
    rollouts.on(methods.JOB_DEPLOYMENTS, m.DeploymentListResponse(deployments=(ROW, old)))
    assert ALLOC_3[:8] not in encamp("job", "deployments", "web").out
    assert ALLOC_3[:8] in encamp("job", "deployments", "-all", "web").out


def test_reverting_to_the_current_version_is_refused(rollouts: ScriptedAgent, encamp: Encamp) -> None:
    rollouts.on(methods.JOB_LIST, m.JobListResponse(jobs=(make_stub(version=3),)))
    result = encamp("job", "revert", "web", "3")
    assert result.code == 1 and "at version 3 already" in result.err and "job history web" in result.err
    assert not rollouts.called(methods.JOB_REVERT)


def test_an_allocation_names_its_deployment(rollouts: ScriptedAgent, encamp: Encamp) -> None:
    alloc = running(deployment_id=ALLOC_2)
    rollouts.on(methods.ALLOC_LIST, m.AllocListResponse(allocations=(alloc,)))
    rollouts.on(methods.ALLOC_GET, m.AllocResponse(allocation=alloc, job=make_job()))
    out = encamp("alloc", "status", alloc.id[:8]).out
    assert any(line.split() == ["Deployment", "ID", "=", ALLOC_2[:8]] for line in out.splitlines())


@pytest.mark.parametrize(
    "words",
    [
        ("job", "promote", "-json", "-detach", "web"),
        ("deployment", "promote", "-json", "-detach", ALLOC_2[:6]),
        ("deployment", "pause", "-json", ALLOC_2[:6]),
        ("deployment", "resume", "-json", ALLOC_2[:6]),
        ("deployment", "fail", "-json", ALLOC_2[:6]),
        ("job", "revert", "-json", "-detach", "web", "1"),
    ],
)
def test_what_acts_answers_in_json(rollouts: ScriptedAgent, encamp: Encamp, words: tuple[str, ...]) -> None:
    rollouts.on(methods.JOB_REVERT, m.JobRegisterResponse(eval_id="e" * 36, version=4))
    result = encamp(*words)
    assert result.code == 0 and json.loads(result.out)["EvalID"] == "e" * 36


def test_following_and_json_exclude_each_other(rollouts: ScriptedAgent, encamp: Encamp) -> None:
    result = encamp("deployment", "status", "-monitor", "-json", ALLOC_2[:6])
    assert result.code == 1 and "leave out -json" in result.err and not result.out
