"""The pages about kinds of jobs and blocks keep their word: each is shown, and each example runs on a real agent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from daemon.jobspec.parse import parse_job
from daemon.jobspec.schema import tables
from daemon.model.enums import JobType
from daemon.model.job import Job
from tests.e2e.harness import ROOT, Agent, wait_for

PAGES = {name: (ROOT / "docs/manual" / name).read_text() for name in ("job-types.md", "blocks.md")}
_FENCE = re.compile(r"^```hcl\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: text of the examples, by the job's id.
EXAMPLES = {
    match.group(1): text
    for page in PAGES.values()
    for text in _FENCE.findall(page)
    if (match := re.match(r'job "([\w-]+)"', text))
}
#: the command that asks for a launch, as the page has it.
DISPATCH = re.search(r"\| (encamp job dispatch .*) encode -$", PAGES["job-types.md"], re.MULTILINE)
#: examples that ask for what a machine of the tests has not: they are read and planned, and the plan says what
#: is missing. They do not run.
NO_SUCH_MACHINE = {"trainer": "0 healthy nvidia/gpu"}
CONFIG = re.search(r"^```hcl config\n(.*?)^```$", PAGES["blocks.md"], re.MULTILINE | re.DOTALL)


def parsed(text: str) -> Job:
    result = parse_job(text, filename="example.nomad.hcl")
    assert not result.diagnostics, [str(each) for each in result.diagnostics]
    assert result.job is not None
    return result.job


def blocks_of(block: tables.BlockDef, seen: set[str]) -> Iterator[str]:
    """Names of all blocks that a job file may have; those without keys of their own (`policy`) are data."""
    for child in block.children:
        if child.name not in seen and child.name != "policy":
            seen.add(child.name)
            yield child.name
            if child.block is not None:
                yield from blocks_of(child.block, seen)


@pytest.mark.parametrize("name", sorted(blocks_of(tables.JOB, set())))
def test_every_block_is_shown_in_an_example(name: str) -> None:
    shown = re.compile(rf'^\s*{name}( "[^"]*")? {{', re.MULTILINE)
    assert any(shown.search(text) for text in EXAMPLES.values()), f"no example has the block {name}"
    words = re.findall(r"^## (.*)$", PAGES["blocks.md"], re.MULTILINE)
    named = {word.strip() for line in words for word in line.split(",")}
    assert name in named | {"target", "port"}, f"docs/manual/blocks.md has no section on {name}"


def test_every_kind_of_job_is_shown() -> None:
    kinds = {parsed(text).type for text in _FENCE.findall(PAGES["job-types.md"])}
    assert kinds == set(JobType)


@pytest.mark.parametrize("job_id", EXAMPLES)
def test_an_example_is_read_without_a_word(job_id: str) -> None:
    assert parsed(EXAMPLES[job_id]).id == job_id


def _done(agent: Agent, job: Job) -> bool:
    """True when the example has come to what its kind is for."""
    if job.periodic is not None or job.parameterized_job is not None:
        return True
    allocs: list[dict[str, Any]] = agent.allocs(job.id)
    if job.type in (JobType.BATCH, JobType.SYSBATCH):
        return bool(allocs) and all(alloc["ClientStatus"] == "complete" for alloc in allocs)
    wanted = sum(group.count for group in job.task_groups)
    return sum(alloc["ClientStatus"] == "running" for alloc in allocs) == wanted


def _why(agent: Agent, job_id: str, words: str) -> str:
    said = agent.run("job", "why", job_id, check=False).stdout
    return said if words in said else ""


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.runc
@pytest.mark.timeout(240)
def test_the_examples_run(tmp_path: Path) -> None:
    assert CONFIG is not None and DISPATCH is not None
    data = tmp_path / "srv"
    data.mkdir()
    data.chmod(0o777)
    agent = Agent(tmp_path / "agent", CONFIG.group(1).replace("/srv/data", str(data)), dev=True)
    try:
        agent.start()

        def run(job_id: str) -> None:
            job = parsed(EXAMPLES[job_id])
            path = agent.job(EXAMPLES[job_id], f"{job_id}.nomad.hcl")
            agent.run("job", "run", "-detach", path, limit_s=120)
            wait_for(
                f"the example {job_id}",
                lambda: _done(agent, job),
                60,
                lambda: agent.run("job", "why", job_id, check=False).stdout,
            )
            agent.run("job", "stop", "-detach", job_id, limit_s=120)

        with ThreadPoolExecutor(3) as pool:
            apart = ("encode", "nightly", *NO_SUCH_MACHINE)
            list(pool.map(run, [job_id for job_id in EXAMPLES if job_id not in apart]))
        for job_id, words in NO_SUCH_MACHINE.items():
            path = agent.job(EXAMPLES[job_id], f"{job_id}.nomad.hcl")
            agent.run("job", "run", "-detach", path, limit_s=120)
            why = wait_for(f"the reasons of {job_id}", partial(_why, agent, job_id, words), 60)
            assert words in why
        agent.run("job", "run", agent.job(EXAMPLES["nightly"], "nightly.nomad.hcl"))
        agent.run("job", "periodic", "force", "nightly", limit_s=120)
        agent.run("job", "run", agent.job(EXAMPLES["encode"], "encode.nomad.hcl"))
        asked = [*DISPATCH.group(1).split()[1:], "-wait", "encode", "-"]
        agent.run(*asked, stdin="hello\n", limit_s=120)
        assert (data / "starts").read_text()
    finally:
        agent.clean_up()
