"""Commands about jobs against a scripted agent on the real wire."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daemon.model.deployment import Deployment, GroupDeployment
from daemon.model.enums import DeploymentStatus
from daemon.model.errors import Conflict, InvalidInput, Unavailable
from daemon.model.job import JobSource
from daemon.model.launch import Launches, Run
from daemon.model.metrics import AllocMetric
from daemon.model.plan import GroupAnnotation
from daemon.model.policies import PeriodicConfig
from daemon.rpc import messages as m
from daemon.rpc import methods
from tests.cli.conftest import Encamp
from tests.cli.made import ALLOC_2, EVAL, failed, make_alloc, make_eval, make_job, make_stub, running
from tests.cli.scripted import ScriptedAgent

JOB_FILE = """
variable "count" {
  type    = number
  default = 1
}

job "web" {
  type = "%s"
  group "front" {
    count = var.count
    task "server" {
      driver = "raw_exec"
      config {
        command = "/bin/true"
      }
    }
  }
}
"""
ROLLOUT = Deployment(
    id="d5f3a000-1111-4222-8333-444455556666",
    job_id="web",
    job_version=3,
    task_groups={
        "front": GroupDeployment(desired_total=4, desired_canaries=1, healthy_allocs=1, placed_allocs=1)
    },
    status_description="the rollout is under way; its canaries wait to be promoted",
)
METRIC = AllocMetric(nodes_evaluated=1, nodes_exhausted=1, dimension_exhausted={"memory": 1})


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    path = tmp_path / "web.hcl"
    path.write_text(JOB_FILE % "service")
    return path


@pytest.fixture
def batch_file(tmp_path: Path) -> Path:
    path = tmp_path / "batch.hcl"
    path.write_text(JOB_FILE % "batch")
    return path


def serve_run(
    agent: ScriptedAgent, *, type: str = "service", allocs: Any = (), evaluation: Any = None
) -> None:
    """An agent that takes a job and shows `allocs`, a list or an iterator of lists."""
    agent.on(
        methods.JOB_REGISTER, m.JobRegisterResponse(eval_id=EVAL, job_modify_index=7, warnings=("soft",))
    )
    agent.on(methods.EVAL_GET, m.EvalResponse(evaluation=evaluation or make_eval()))
    agent.on(
        methods.JOB_GET,
        m.JobResponse(job=make_job(type=type, status="dead" if type == "batch" else "running")),
    )
    agent.on(methods.JOB_DEPLOYMENTS, m.DeploymentListResponse())
    steps = iter(allocs) if hasattr(allocs, "__next__") else itertools.repeat(allocs)
    agent.on(methods.ALLOC_LIST, lambda _: m.AllocListResponse(allocations=tuple(next(steps))))


def test_run_follows_until_healthy(agent: ScriptedAgent, encamp: Encamp, job_file: Path) -> None:
    steps = itertools.chain([[make_alloc()], [running()]], itertools.repeat([running(healthy=True)]))
    serve_run(agent, allocs=steps)
    result = encamp("job", "run", "-var", "count=1", str(job_file))
    assert result.code == 0, result
    assert 'Monitoring evaluation "5f3a0000"' in result.out
    assert 'Allocation "8a1f0000" created: node "3c9e0000", group "front"' in result.out
    assert '"pending" -> "running"' in result.out
    assert 'Job "web" is up: 1 running, its allocation is healthy' in result.out
    assert "Warning: soft" in result.err
    (request,) = agent.called(methods.JOB_REGISTER)
    assert request.job.task_groups[0].name == "front"
    assert request.submission.variables == {"count": "1"} and 'job "web"' in request.submission.source
    assert not request.enforce_index


def test_run_exits_1_when_an_allocation_fails(agent: ScriptedAgent, encamp: Encamp, job_file: Path) -> None:
    serve_run(agent, allocs=[failed()])
    result = encamp("run", str(job_file))
    assert result.code == 1
    assert "Exit code 3" in result.out and "encamp alloc logs -stderr 8a1f0000" in result.out


@pytest.mark.parametrize(
    ("until", "promoted", "words"),
    [
        ("promotable", False, "1 canary is healthy and waits for promotion"),
        ("healthy", True, "1 running, its allocation is healthy"),
    ],
)
def test_run_ends_at_canaries_or_goes_on_behind_them(
    agent: ScriptedAgent, encamp: Encamp, job_file: Path, until: str, promoted: bool, words: str
) -> None:
    serve_run(agent, allocs=[running(healthy=promoted or None)])
    group = GroupDeployment(desired_canaries=1, healthy_allocs=1, promoted=promoted, desired_total=1)
    row = Deployment(id=ALLOC_2, job_id="web", task_groups={"front": group}, status_description="under way")
    over = msgspec.structs.replace(row, status=DeploymentStatus.SUCCESSFUL)
    steps = itertools.chain([row], itertools.repeat(over if promoted else row))
    agent.on(methods.JOB_DEPLOYMENTS, lambda _: m.DeploymentListResponse(deployments=(next(steps),)))
    result = encamp("run", "-until", until, str(job_file))
    assert result.code == 0 and words in result.out
    assert "running: under way" in result.out


def test_run_exits_1_when_its_rollout_fails(agent: ScriptedAgent, encamp: Encamp, job_file: Path) -> None:
    serve_run(agent, allocs=[failed()])
    row = Deployment(
        id=ALLOC_2,
        job_id="web",
        task_groups={"front": GroupDeployment(auto_revert=True)},
        status=DeploymentStatus.FAILED,
        status_description="rolled back to version 3",
    )
    running_row = msgspec.structs.replace(row, status=DeploymentStatus.RUNNING)
    steps = itertools.chain([running_row, running_row], itertools.repeat(row))
    newer = Deployment(id=EVAL, job_id="web", job_version=1)
    agent.on(methods.JOB_DEPLOYMENTS, lambda _: m.DeploymentListResponse(deployments=(newer, next(steps))))
    result = encamp("run", str(job_file))
    assert result.code == 1 and "rolled back to version 3" in result.out
    assert "the rollout of version 0 is failed" in result.out


def test_run_exits_2_when_something_is_not_placed(
    agent: ScriptedAgent, encamp: Encamp, job_file: Path
) -> None:
    blocked = make_eval(failed_tg_allocs={"front": METRIC}, blocked_eval=ALLOC_2)
    serve_run(agent, evaluation=blocked)
    result = encamp("run", str(job_file))
    assert result.code == 2
    assert 'Dimension "memory" exhausted on 1 node' in result.out
    assert "encamp job why web" in result.out


def test_run_exits_1_when_the_evaluation_fails(agent: ScriptedAgent, encamp: Encamp, job_file: Path) -> None:
    serve_run(agent, evaluation=make_eval(status="failed", status_description="delivered too often"))
    result = encamp("run", str(job_file))
    assert result.code == 1 and "delivered too often" in result.out


def test_run_exits_1_when_time_is_up(agent: ScriptedAgent, encamp: Encamp, job_file: Path) -> None:
    serve_run(agent, allocs=[make_alloc()])
    result = encamp("run", "-timeout", "300ms", str(job_file))
    assert result.code == 1
    assert "is not healthy after" in result.out


def test_detach_returns_at_once(agent: ScriptedAgent, encamp: Encamp, job_file: Path) -> None:
    serve_run(agent)
    result = encamp("run", "-detach", str(job_file))
    assert result.code == 0
    assert result.out.splitlines() == ["Job registration successful", f"Evaluation ID: {EVAL}"]
    assert agent.called(methods.EVAL_GET) == []


@pytest.mark.parametrize(
    ("args", "alloc", "code", "words"),
    [
        ((), make_alloc(), 0, "is placed"),
        (("-wait",), make_alloc(client_status="complete"), 0, "is complete"),
        (("-wait",), failed(), 1, "has failed"),
    ],
)
def test_batch(
    agent: ScriptedAgent,
    encamp: Encamp,
    batch_file: Path,
    args: tuple[str, ...],
    alloc: Any,
    code: int,
    words: str,
) -> None:
    serve_run(agent, type="batch", allocs=[alloc])
    result = encamp("run", *args, str(batch_file))
    assert (result.code, words in result.out) == (code, True), result


def test_json_output_is_json_alone_on_stdout(agent: ScriptedAgent, encamp: Encamp, job_file: Path) -> None:
    serve_run(agent, evaluation=make_eval(failed_tg_allocs={"front": METRIC}))
    result = encamp("run", "-json-output", str(job_file))
    data = json.loads(result.out)
    assert result.code == 2
    assert (data["JobID"], data["Outcome"], data["ExitCode"]) == ("web", "blocked", 2)
    assert data["FailedTGAllocs"]["front"]["DimensionExhausted"] == {"memory": 1}
    assert "Monitoring evaluation" in result.err


def test_check_index_is_sent(agent: ScriptedAgent, encamp: Encamp, job_file: Path) -> None:
    serve_run(agent)
    assert encamp("run", "-detach", "-check-index", "0", str(job_file)).code == 0
    (request,) = agent.called(methods.JOB_REGISTER)
    assert request.enforce_index and request.job_modify_index == 0


def test_a_conflict_is_explained(agent: ScriptedAgent, encamp: Encamp, job_file: Path) -> None:
    def refuse(_: Any) -> Any:
        raise Conflict("job web has modify index 9, not 3; plan it again")

    agent.on(methods.JOB_REGISTER, refuse)
    result = encamp("run", "-check-index", "3", str(job_file))
    assert result.code == 1 and "modify index 9, not 3" in result.err


def test_a_bad_file_is_never_submitted(agent: ScriptedAgent, encamp: Encamp, tmp_path: Path) -> None:
    bad = tmp_path / "bad.hcl"
    bad.write_text('job "web" {\n  datacentres = ["dc1"]\n}\n')
    result = encamp("run", str(bad))
    assert result.code == 1
    assert "bad.hcl:2:3" in result.err and "datacenters" in result.err
    assert encamp("plan", str(bad)).code == 255
    assert agent.calls == []


def test_output_prints_the_job_without_an_agent(encamp: Encamp, job_file: Path) -> None:
    result = encamp("run", "-output", "-namespace", "team", "-address", "127.0.0.1:1", str(job_file))
    assert result.code == 0
    assert json.loads(result.out)["Job"]["Namespace"] == "team"


def test_validate_needs_no_agent(encamp: Encamp, job_file: Path, tmp_path: Path) -> None:
    assert encamp("validate", str(job_file)).out == "Job validation successful\n"
    bad = tmp_path / "bad.hcl"
    bad.write_bytes(b"\x00\xff\x01")
    result = encamp("validate", str(bad))
    assert result.code == 1 and "is not valid" in result.err
    answer = encamp("validate", "-json-output", str(bad))
    assert answer.code == 1 and json.loads(answer.out)["Valid"] is False


def test_var_forms(encamp: Encamp, job_file: Path, tmp_path: Path) -> None:
    values = tmp_path / "x.vars"
    values.write_text("count = 4\n")
    for args in (("-var", "count=4"), ("-var=count=4",), ("-var-file", str(values))):
        result = encamp("run", "-output", *args, str(job_file))
        assert result.code == 0, result
        assert json.loads(result.out)["Job"]["TaskGroups"][0]["Count"] == 4
    assert encamp("run", "-output", "-var", "count", str(job_file)).code == 1


@pytest.mark.parametrize(
    ("annotation", "failed_groups", "code"),
    [
        (GroupAnnotation(ignore=1), {}, 0),
        (GroupAnnotation(in_place_update=1), {}, 0),
        (GroupAnnotation(place=2), {}, 1),
        (GroupAnnotation(stop=1), {}, 1),
        (GroupAnnotation(), {"front": METRIC}, 1),
    ],
)
def test_plan(
    agent: ScriptedAgent,
    encamp: Encamp,
    job_file: Path,
    annotation: GroupAnnotation,
    failed_groups: Any,
    code: int,
) -> None:
    agent.on(
        methods.JOB_PLAN,
        m.JobPlanResponse(
            annotations={"front": annotation}, failed_tg_allocs=failed_groups, job_modify_index=12
        ),
    )
    result = encamp("plan", str(job_file))
    assert result.code == code, result
    assert "Job Modify Index: 12" in result.out
    assert f"encamp job run -check-index 12 {job_file}" in result.out
    assert ("Failed to place" in result.out) is bool(failed_groups)


def test_plan_error_is_255(agent: ScriptedAgent, encamp: Encamp, job_file: Path) -> None:
    def refuse(_: Any) -> Any:
        raise InvalidInput("no such datacenter")

    agent.on(methods.JOB_PLAN, refuse)
    assert encamp("plan", str(job_file)).code == 255


def test_status_lists_and_shows_one(agent: ScriptedAgent, encamp: Encamp) -> None:
    agent.on(methods.JOB_LIST, m.JobListResponse(jobs=(make_stub(),)))
    agent.on(methods.JOB_GET, m.JobResponse(job=make_job(), summary={"front": m.JobSummary(running=1)}))
    agent.on(methods.ALLOC_LIST, m.AllocListResponse(allocations=(running(),)))
    agent.on(methods.EVAL_LIST, m.EvalListResponse(evaluations=(make_eval(),)))
    agent.on(methods.JOB_LATEST_DEPLOYMENT, m.DeploymentResponse(deployment=ROLLOUT))
    assert "web  service" in encamp("status").out
    assert json.loads(encamp("status", "-json").out)[0]["ID"] == "web"
    one = encamp("status", "-evals", "we")
    assert one.code == 0
    for heading in ("Summary", "Evaluations", "Allocations"):
        assert f"\n{heading}\n" in one.out
    assert all(len(line) <= 80 for line in one.out.splitlines())
    assert json.loads(encamp("status", "-json", "web").out)["Job"]["ID"] == "web"
    assert "\x1b[" in encamp("status", "-force-color").out


def test_status_shows_what_is_missing(agent: ScriptedAgent, encamp: Encamp) -> None:
    blocked = make_eval(status="blocked", failed_tg_allocs={"front": METRIC})
    agent.on(methods.JOB_LIST, m.JobListResponse(jobs=(make_stub(),)))
    agent.on(methods.JOB_GET, m.JobResponse(job=make_job()))
    agent.on(methods.ALLOC_LIST, m.AllocListResponse())
    agent.on(methods.EVAL_LIST, m.EvalListResponse(evaluations=(blocked,)))
    agent.on(methods.JOB_LATEST_DEPLOYMENT, m.DeploymentResponse())
    agent.on(methods.EVAL_GET, m.EvalResponse(evaluation=blocked))
    out = encamp("status", "web").out
    assert "Placement Failure" in out and "encamp job why web" in out and "No allocations placed" in out


def test_lists_are_read_page_by_page(agent: ScriptedAgent, encamp: Encamp) -> None:
    def page(request: Any) -> Any:
        assert request.per_page > 0
        if not request.next_token:
            return m.JobListResponse(jobs=(make_stub(id="a"),), next_token="b")
        return m.JobListResponse(jobs=(make_stub(id="b"),))

    agent.on(methods.JOB_LIST, page)
    assert [row.split()[0] for row in encamp("status").out.splitlines()[1:]] == ["a", "b"]


def test_namespace_and_region_go_with_every_request(agent: ScriptedAgent, encamp: Encamp) -> None:
    agent.on(methods.JOB_LIST, m.JobListResponse())
    encamp("status", "-namespace", "*", "-region", "west")
    (request,) = agent.called(methods.JOB_LIST)
    assert (request.namespace, request.region) == ("*", "west")


def test_ambiguous_and_unknown_jobs(agent: ScriptedAgent, encamp: Encamp) -> None:
    agent.on(methods.JOB_LIST, m.JobListResponse(jobs=(make_stub(id="web-1"), make_stub(id="web-2"))))
    result = encamp("why", "web")
    assert result.code == 1 and result.out == ""
    assert "web-1" in result.err and "web-2" in result.err
    agent.on(methods.JOB_LIST, m.JobListResponse())
    unknown = encamp("why", "web")
    assert unknown.code == 1 and "encamp job status" in unknown.err


def test_why(agent: ScriptedAgent, encamp: Encamp) -> None:
    agent.on(methods.JOB_LIST, m.JobListResponse(jobs=(make_stub(), make_stub(id="web-2"))))
    agent.on(methods.JOB_WHY, m.JobWhyResponse(id="web", status="pending", headline="no node is ready"))
    assert encamp("why", "web").out == 'Job "web": no node is ready\n'
    assert json.loads(encamp("why", "-json", "web").out)["Ok"] is False


def test_stop_waits_until_nothing_runs(agent: ScriptedAgent, encamp: Encamp) -> None:
    stopping = running(desired_status="stop")
    steps = itertools.chain([[stopping]] * 3, itertools.repeat([make_alloc(client_status="complete")]))
    agent.on(methods.JOB_LIST, m.JobListResponse(jobs=(make_stub(),)))
    serve_run(agent, allocs=steps)
    agent.on(methods.JOB_DEREGISTER, m.EvalIdResponse(eval_id=EVAL))
    result = encamp("stop", "-purge", "web")
    assert result.code == 0, result
    assert 'Job "web" has stopped' in result.out
    (request,) = agent.called(methods.JOB_DEREGISTER)
    assert request.purge and not request.no_shutdown_delay


def test_stop_never_guesses(agent: ScriptedAgent, encamp: Encamp) -> None:
    agent.on(methods.JOB_LIST, m.JobListResponse(jobs=(make_stub(),)))
    result = encamp("stop", "we")
    assert result.code == 1 and "-yes" in result.err
    assert agent.called(methods.JOB_DEREGISTER) == []


def test_restart_waits_for_each_batch(agent: ScriptedAgent, encamp: Encamp) -> None:
    done: set[str] = set()
    agent.on(methods.JOB_LIST, m.JobListResponse(jobs=(make_stub(),)))
    agent.on(methods.ALLOC_RESTART, lambda request: (done.add(request.id), m.Empty())[1])
    ids = ("8a1f0000-a", "8a1f0000-b", "8a1f0000-c")
    agent.on(
        methods.ALLOC_LIST,
        lambda _: m.AllocListResponse(
            allocations=tuple(
                running(id=id_, name=f"web.front[{n}]", restarts=int(id_ in done))
                for n, id_ in enumerate(ids)
            )
        ),
    )
    result = encamp("job", "restart", "-batch-size", "2", "web")
    assert result.code == 0, result
    assert "Batch 1 of 2: 2 allocations" in result.out and "3 allocations restarted" in result.out
    assert [request.id for request in agent.called(methods.ALLOC_RESTART)] == list(ids)


def test_restart_says_what_does_not_come_back(agent: ScriptedAgent, encamp: Encamp) -> None:
    agent.on(methods.JOB_LIST, m.JobListResponse(jobs=(make_stub(),)))
    agent.on(methods.ALLOC_LIST, m.AllocListResponse(allocations=(running(),)))
    agent.on(methods.ALLOC_RESTART, m.Empty())
    result = encamp("job", "restart", "-timeout", "200ms", "web")
    assert result.code == 1 and "8a1f0000" in result.err


def test_inspect_and_history(agent: ScriptedAgent, encamp: Encamp) -> None:
    agent.on(methods.JOB_LIST, m.JobListResponse(jobs=(make_stub(),)))
    agent.on(methods.JOB_GET, m.JobResponse(job=make_job(version=1)))
    agent.on(methods.JOB_VERSIONS, m.JobVersionsResponse(versions=(make_job(version=1), make_job())))
    agent.on(methods.JOB_SOURCE, m.JobSourceResponse(submission=JobSource(source='job "web" {}')))
    assert json.loads(encamp("inspect", "web").out)["Job"]["Version"] == 1
    assert json.loads(encamp("inspect", "-version", "0", "web").out)["Job"]["Version"] == 0
    assert "keep: 1, 0" in encamp("inspect", "-version", "9", "web").err
    assert encamp("inspect", "-hcl", "web").out == 'job "web" {}\n'
    assert [line for line in encamp("history", "web").out.splitlines() if line.startswith("Version")] == [
        "Version     = 1",
        "Version     = 0",
    ]
    assert len(json.loads(encamp("history", "-json", "web").out)) == 2


def test_eval_forces_and_follows(agent: ScriptedAgent, encamp: Encamp) -> None:
    agent.on(methods.JOB_LIST, m.JobListResponse(jobs=(make_stub(),)))
    agent.on(methods.JOB_EVALUATE, m.EvalIdResponse(eval_id=EVAL))
    serve_run(agent, evaluation=make_eval(failed_tg_allocs={"front": METRIC}))
    assert encamp("job", "eval", "-force-reschedule", "web").code == 2
    assert agent.called(methods.JOB_EVALUATE)[0].force_reschedule
    assert encamp("job", "eval", "-detach", "web").out == f"Evaluation ID: {EVAL}\n"


def test_dispatch_sends_payload_and_meta(agent: ScriptedAgent, encamp: Encamp, tmp_path: Path) -> None:
    agent.on(methods.JOB_LIST, m.JobListResponse(jobs=(make_stub(id="encode"),)))
    agent.on(
        methods.JOB_DISPATCH, m.JobDispatchResponse(dispatched_job_id="encode/dispatch-1-ab", eval_id=EVAL)
    )
    payload = tmp_path / "video.json"
    payload.write_bytes(b"{}")
    done = encamp(
        "job", "dispatch", "-detach", "-meta", "size=large", "-priority", "70", "encode", str(payload)
    )
    assert done.code == 0 and "encode/dispatch-1-ab" in done.out
    [request] = agent.called(methods.JOB_DISPATCH)
    assert (request.payload, request.meta, request.priority) == (b"{}", {"size": "large"}, 70)
    assert encamp("job", "dispatch", "-meta", "nonsense", "encode").code == 1
    assert encamp("job", "dispatch", "encode", str(tmp_path / "absent")).code == 1


def test_a_periodic_job_is_launched_by_force(agent: ScriptedAgent, encamp: Encamp) -> None:
    agent.on(methods.JOB_LIST, m.JobListResponse(jobs=(make_stub(id="nightly"),)))
    agent.on(methods.PERIODIC_FORCE, m.PeriodicForceResponse(job_id="nightly/periodic-1", eval_id=EVAL))
    done = encamp("job", "periodic", "force", "-detach", "nightly")
    assert done.code == 0 and "nightly/periodic-1" in done.out


def test_status_of_a_periodic_job_shows_its_launches(agent: ScriptedAgent, encamp: Encamp) -> None:
    job = make_job(id="nightly", type="batch", periodic=PeriodicConfig(specs=("@daily",)))
    runs = (
        Run(job_id="nightly/periodic-2", launch_ns=2 * 10**18),
        Run(launch_ns=10**18, outcome="skipped", reason="the last launch still runs"),
    )
    row = Launches(namespace="default", job_id="nightly", runs=runs)
    agent.on(methods.JOB_LIST, m.JobListResponse(jobs=(make_stub(id="nightly"),)))
    agent.on(
        methods.JOB_GET,
        m.JobResponse(
            job=job, launches=row, next_launch_ns=3 * 10**18, children=m.JobChildren(running=1, dead=4)
        ),
    )
    agent.on(methods.ALLOC_LIST, m.AllocListResponse())
    agent.on(methods.EVAL_LIST, m.EvalListResponse())
    agent.on(methods.JOB_LATEST_DEPLOYMENT, m.DeploymentResponse())
    out = encamp("job", "status", "nightly").out
    assert "Next Periodic Launch = 2065-01-24T05:20:00Z (in" in out
    assert "0 pending, 1 running, 4 dead" in out
    assert "nightly/periodic-2" in out and "the last launch still runs" in out
    assert max(len(line) for line in out.splitlines()) <= 100


def test_a_busy_leader_is_asked_again_and_other_refusals_are_not(
    agent: ScriptedAgent, encamp: Encamp, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent.on(methods.JOB_LIST, m.JobListResponse(jobs=(make_stub(),)))
    answers = iter(
        [Unavailable("busy: too much", retry_after_s=0.01, busy=True), m.EvalIdResponse(eval_id=EVAL)]
    )

    def answer(_: Any) -> Any:
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    agent.on(methods.JOB_EVALUATE, answer)
    done = encamp("job", "eval", "-detach", "web")
    assert done.code == 0 and "busy: too much" in done.err
    answers = iter([Unavailable("the connection was lost", retry_after_s=0.01)])
    assert encamp("job", "eval", "-detach", "web").code == 1
    monkeypatch.setattr("daemon.cli.session.BUSY_S", 0.0)
    answers = iter([Unavailable("busy: too much", retry_after_s=0.01, busy=True)])
    assert encamp("job", "eval", "-detach", "web").code == 1
