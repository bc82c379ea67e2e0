"""Commands about allocations, nodes, evaluations and the system against a scripted agent."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from daemon.model.base import decode, encode
from daemon.model.errors import NotFound
from daemon.model.node import Node
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.rpc.stream import Stream
from tests.cli.conftest import Encamp
from tests.cli.made import ALLOC, ALLOC_2, EVAL, NODE, make_alloc, make_eval, make_job, make_stub, running
from tests.cli.scripted import ScriptedAgent


@pytest.fixture
def with_alloc(agent: ScriptedAgent) -> ScriptedAgent:
    agent.on(
        methods.ALLOC_LIST,
        lambda request: m.AllocListResponse(
            allocations=(running(),) if ALLOC.startswith(request.prefix) else ()
        ),
    )
    agent.on(methods.ALLOC_GET, m.AllocResponse(allocation=running(), job=make_job()))
    agent.on(methods.JOB_LIST, m.JobListResponse(jobs=(make_stub(),)))
    agent.on(methods.JOB_GET, m.JobResponse(job=make_job(status="dead")))
    return agent


def serve_text(agent: ScriptedAgent, stdout: bytes, stderr: bytes = b"", piece: int = 7) -> None:
    async def serve(request: Any, stream: Stream) -> None:
        data = stderr if getattr(request, "type", "stdout") == "stderr" else stdout
        start = max(0, len(data) - request.offset) if request.origin == "end" else request.offset
        for at in range(start, len(data), piece):
            await stream.send(data[at : at + piece])

    agent.on_stream(methods.FS_LOGS, serve)
    agent.on_stream(methods.FS_STREAM, serve)


def test_alloc_status(with_alloc: ScriptedAgent, encamp: Encamp) -> None:
    result = encamp("alloc", "status", "8a1f")
    assert result.code == 0
    assert 'Task "server" is "running"' in result.out
    assert json.loads(encamp("alloc", "status", "-json", "8a1f").out)["ID"] == ALLOC
    with_alloc.on(methods.ALLOC_STATS, m.AllocStatsResponse(tasks={"server": m.TaskUsage(pids=3)}))
    assert encamp("alloc", "status", "-stats", "8a1f").code == 0


@pytest.mark.parametrize(
    ("typed", "words"),
    [("8", "at least 2 characters"), ("zz", "no allocation has the id or prefix"), ("", "give")],
)
def test_ids_by_prefix(with_alloc: ScriptedAgent, encamp: Encamp, typed: str, words: str) -> None:
    result = encamp("alloc", "logs", typed)
    assert result.code == 1 and words in result.err


def test_ambiguous_prefix_lists_the_candidates(agent: ScriptedAgent, encamp: Encamp) -> None:
    agent.on(methods.ALLOC_LIST, m.AllocListResponse(allocations=(make_alloc(), make_alloc(id=ALLOC_2))))
    result = encamp("alloc", "status", "8a1f")
    assert result.code == 1
    assert ALLOC in result.err and ALLOC_2 in result.err
    assert encamp("alloc", "status", ALLOC).code == 1  # found, though nothing more is scripted
    assert agent.called(methods.ALLOC_GET)[0].id == ALLOC


def test_logs_are_raw(with_alloc: ScriptedAgent, encamp: Encamp, capfdbinary: Any = None) -> None:
    serve_text(with_alloc, "één\nzwei\n".encode(), b"oops\n", piece=1)
    assert encamp("logs", "8a1f").out == "één\nzwei\n"
    assert encamp("logs", "-stderr", "8a1f", "server").out == "oops\n"
    assert encamp("logs", "-job", "web").out == "één\nzwei\n"
    assert "exclude" in encamp("logs", "-stdout", "-stderr", "8a1f").err
    assert 'has no task "x"' in encamp("logs", "-task", "x", "8a1f").err


def test_logs_tail(with_alloc: ScriptedAgent, encamp: Encamp) -> None:
    serve_text(with_alloc, b"".join(b"line %d\n" % n for n in range(30_000)), piece=30_000)
    assert encamp("logs", "-n", "2", "8a1f").out == "line 29998\nline 29999\n"
    assert len(encamp("logs", "-tail", "8a1f").out.splitlines()) == 10
    assert encamp("logs", "-c", "6", "8a1f").out == "29999\n"
    assert len(encamp("logs", "-n", "20000", "8a1f").out.splitlines()) == 20_000
    assert encamp("logs", "-f", "-stdout", "-n", "2", "8a1f").out == "line 29998\nline 29999\n"


def test_follow_shows_both_outputs_apart(with_alloc: ScriptedAgent, encamp: Encamp) -> None:
    serve_text(with_alloc, b"out\n", b"err\n")
    result = encamp("logs", "-f", "8a1f")
    assert (result.code, result.out, result.err) == (0, "out\n", "err\n")


def test_follow_reports_an_error_of_the_node(with_alloc: ScriptedAgent, encamp: Encamp) -> None:
    async def fail(request: Any, stream: Stream) -> None:
        await stream.send(b"begun\n")
        raise NotFound("the log was rotated away")

    with_alloc.on_stream(methods.FS_LOGS, fail)
    result = encamp("logs", "-f", "8a1f")
    assert result.code == 1 and "rotated away" in result.err


def test_job_logs_merge_with_a_prefix(with_alloc: ScriptedAgent, encamp: Encamp) -> None:
    serve_text(with_alloc, b"INFO a\nERROR b\n", b"ERROR c")
    whole = encamp("job", "logs", "web")
    assert whole.out.splitlines() == [
        "8a1f0000/server INFO a",
        "8a1f0000/server ERROR b",
        "8a1f0000/server ERROR c",
    ]
    assert encamp("job", "logs", "-grep", "^ERR", "-stdout", "web").out == "8a1f0000/server ERROR b\n"
    assert "no regular expression" in encamp("job", "logs", "-grep", "(", "web").err


def test_job_logs_follow_ends_with_the_job(with_alloc: ScriptedAgent, encamp: Encamp) -> None:
    serve_text(with_alloc, b"a\nb\n", b"c\n")
    out = encamp("job", "logs", "-f", "web").out
    assert sorted(out.splitlines()) == ["8a1f0000/server a", "8a1f0000/server b", "8a1f0000/server c"]


def test_fs(with_alloc: ScriptedAgent, encamp: Encamp) -> None:
    directory = m.FileInfo(name="alloc", is_dir=True, file_mode="drwxr-xr-x")
    file = m.FileInfo(name="a.txt", size=1536, file_mode="-rw-r--r--")
    with_alloc.on(
        methods.FS_STAT,
        lambda request: m.FsListResponse(files=(file if request.path == "a.txt" else directory,)),
    )
    with_alloc.on(methods.FS_LIST, m.FsListResponse(files=(file, directory)))
    serve_text(with_alloc, b"hello\n")
    listed = encamp("fs", "-H", "8a1f").out.splitlines()
    assert listed[1].endswith("alloc/") and "1.5 KiB" in listed[2]
    assert encamp("fs", "8a1f", "a.txt").out == "hello\n"
    assert "1536" in encamp("fs", "-stat", "8a1f", "a.txt").out
    assert len(json.loads(encamp("fs", "-json", "8a1f").out)) == 2


def test_acts(with_alloc: ScriptedAgent, encamp: Encamp) -> None:
    with_alloc.on(methods.ALLOC_RESTART, m.Empty())
    with_alloc.on(methods.ALLOC_SIGNAL, m.Empty())
    with_alloc.on(methods.ALLOC_STOP, m.EvalIdResponse(eval_id=EVAL))
    with_alloc.on(methods.EVAL_GET, m.EvalResponse(evaluation=make_eval()))
    assert encamp("alloc", "restart", "8a1f", "server").code == 0
    assert with_alloc.called(methods.ALLOC_RESTART)[0].task == "server"
    assert encamp("alloc", "signal", "-s", "hup", "8a1f").code == 0
    assert with_alloc.called(methods.ALLOC_SIGNAL)[0].signal == "SIGHUP"
    assert encamp("alloc", "stop", "8a1f").code == 0
    assert encamp("alloc", "stop", "-detach", "8a1f").out == f"Evaluation ID: {EVAL}\n"
    assert encamp("alloc", "restart", "-all-tasks", "-task", "x", "8a1f").code == 1


def test_exec_passes_output_and_exit_code(with_alloc: ScriptedAgent, encamp: Encamp) -> None:
    async def serve(request: Any, stream: Stream) -> None:
        first = await stream.recv()
        assert first is not None and decode(first, m.ExecInput).close
        await stream.send(encode(m.ExecOutput(stdout=" ".join(request.command).encode())))
        await stream.send(encode(m.ExecOutput(stderr=b"warned")))
        await stream.send(encode(m.ExecOutput(exited=True, exit_code=42)))

    with_alloc.on_stream(methods.ALLOC_EXEC, serve)
    result = encamp("exec", "-no-i", "8a1f", "ls", "-l", "-job")
    assert (result.code, result.out, result.err) == (42, "ls -l -job", "warned")
    assert "give the command" in encamp("exec", "8a1f").err


def test_exec_says_why_it_could_not_run(with_alloc: ScriptedAgent, encamp: Encamp) -> None:
    async def serve(request: Any, stream: Stream) -> None:
        await stream.send(encode(m.ExecOutput(exited=True, error="no such command: nope")))

    with_alloc.on_stream(methods.ALLOC_EXEC, serve)
    result = encamp("exec", "-no-i", "8a1f", "nope")
    assert result.code == 1 and "no such command: nope" in result.err


def test_evals(agent: ScriptedAgent, encamp: Encamp) -> None:
    agent.on(methods.EVAL_LIST, m.EvalListResponse(evaluations=(make_eval(),)))
    agent.on(methods.EVAL_GET, m.EvalResponse(evaluation=make_eval(), related=(make_eval(status="blocked"),)))
    agent.on(methods.ALLOC_LIST, m.AllocListResponse(allocations=(make_alloc(),)))
    assert "5f3a0000" in encamp("eval", "list", "-job", "web").out
    assert agent.called(methods.EVAL_LIST)[0].job == "web"
    result = encamp("eval", "status", "5f3a")
    assert "Related Evaluations" in result.out and "Placed Allocations" in result.out
    assert encamp("eval", "status", "-monitor", EVAL).code == 0
    assert json.loads(encamp("eval", "list", "-json").out)[0]["ID"] == EVAL


def test_nodes(agent: ScriptedAgent, encamp: Encamp) -> None:
    stub = m.NodeStub(
        id=NODE, name="node-1", datacenter="dc1", node_class="", node_pool="default", status="ready"
    )
    agent.on(
        methods.NODE_LIST,
        lambda request: m.NodeListResponse(nodes=(stub,) if NODE.startswith(request.prefix) else ()),
    )
    agent.on(methods.NODE_GET, m.NodeResponse(node=Node(id=NODE, name="node-1", status="ready")))
    agent.on(methods.ALLOC_LIST, m.AllocListResponse(allocations=(running(),)))
    agent.on(methods.AGENT_SELF, m.AgentSelfResponse(node_id=NODE))
    agent.on(methods.NODE_STATS, m.HostStatsResponse(cpu_percent=3.0))
    agent.on(methods.ALLOC_STATS, m.AllocStatsResponse(tasks={"server": m.TaskUsage(pids=2)}))
    agent.on(methods.NODE_ELIGIBILITY, m.EvalIdResponse())
    assert "node-1" in encamp("node", "status").out
    for name in ("3c9e", "node-1"):
        assert "Allocated Resources" in encamp("node", "status", name).out
    stats = encamp("node", "status", "-self", "-stats")
    assert "Host Resource Utilization" in stats.out and "Allocation Resource Utilization" in stats.out
    assert encamp("node", "eligibility", "-disable", "3c9e").code == 0
    assert agent.called(methods.NODE_ELIGIBILITY)[0].eligibility == "ineligible"
    assert encamp("node", "eligibility", "3c9e").code == 1


def test_monitor_shows_lines_until_the_agent_ends(agent: ScriptedAgent, encamp: Encamp) -> None:
    async def serve(request: Any, stream: Stream) -> None:
        await stream.send(b"first")
        await asyncio.sleep(0)
        await stream.send(f"level {request.log_level}\n".encode())

    agent.on_stream(methods.AGENT_MONITOR, serve)
    assert encamp("monitor", "-log-level", "debug").out == "first\nlevel DEBUG\n"


def test_gc(agent: ScriptedAgent, encamp: Encamp) -> None:
    agent.on(methods.SYSTEM_GC, m.Empty())
    result = encamp("system", "gc")
    assert (result.code, result.out, result.err) == (0, "", "")


def test_a_launched_job_is_found_by_its_id(agent: ScriptedAgent, encamp: Encamp) -> None:
    child = make_stub(id="encode/dispatch-1-abc", parent_id="encode")
    agent.on(methods.JOB_LIST, lambda request: m.JobListResponse(jobs=(child,) if request.children else ()))
    agent.on(methods.JOB_WHY, m.JobWhyResponse(id=child.id, status="pending", headline="waits for its turn"))
    assert "waits for its turn" in encamp("job", "why", "encode/dispatch-1").out
    assert agent.called(methods.JOB_WHY)[0].id == child.id
