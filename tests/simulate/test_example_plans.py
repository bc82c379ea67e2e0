"""The plan of every example in contrib/ on one fleet is a golden file: placements, scores, annotations, failures.

The fleet is `plans/fleet.hcl`. `ENCAMP_REWRITE=1` writes the files anew; the change is then reviewed as a diff.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from daemon.jobspec.parse import parse_job
from daemon.model.job import Job
from daemon.model.plan import Attempt
from daemon.scheduler.explain import explain_metric
from daemon.simulate.world import World
from daemon.state.state import State
from tests.simulate.simkit import kinds_in

ROOT = Path(__file__).resolve().parents[2]
CONTRIB = ROOT / "contrib"
PLANS = Path(__file__).parent / "plans"
REWRITE = os.environ.get("ENCAMP_REWRITE") == "1"
_JOB = re.compile(r'^\s*"?job"?\s*[:"{]', re.MULTILINE | re.IGNORECASE)


def examples() -> list[Path]:
    """Every file in contrib/ that is a job file."""
    files = sorted(path for path in CONTRIB.rglob("*") if path.suffix in (".hcl", ".nomad", ".json"))
    return [path for path in files if _JOB.search(path.read_text())]


def golden_of(path: Path) -> Path:
    return PLANS / f"{'.'.join(path.relative_to(CONTRIB).parts)}.json"


def job_of(path: Path) -> Job:
    result = parse_job(path.read_bytes(), filename=path.name)
    assert result.job is not None, [str(each) for each in result.diagnostics]
    return result.job


def plan_of(job: Job, attempt: Attempt) -> dict[str, Any]:
    """All that a plan decides, without ids."""
    plan = attempt.plan
    names = {alloc.name: alloc.node_name for alloc in plan.allocs}
    ports: dict[str, list[str]] = {}
    scores: dict[str, dict[str, float]] = {}
    for block in plan.blocks:
        for row in range(block.count):
            alloc = block.row(row)
            name = f"{alloc.name} on {alloc.node_name}" if job.type == "system" else alloc.name
            names[name] = alloc.node_name
            held = [port.label for port in alloc.allocated_resources.shared.ports]
            if held:
                ports[name] = held
        if block.metrics is not None:
            scores[block.task_group] = {
                each.node_id: round(each.norm_score, 6) for each in block.metrics.score_meta_data
            }
    deployment = plan.deployment
    return {
        "placements": dict(sorted(names.items())),
        "ports": dict(sorted(ports.items())),
        "scores": scores,
        "annotations": {
            group: {name: count for name, count in _fields(annotation).items() if count}
            for group, annotation in plan.annotations.items()
        },
        "deployment": sorted(deployment.task_groups) if deployment is not None else None,
        "failures": {
            group: explain_metric(job, metric)
            for group, metric in attempt.evaluation.failed_tg_allocs.items()
        },
    }


def _fields(struct: Any) -> dict[str, int]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def planned(path: Path, seed: int = 0) -> str:
    world = World(State(), seed=seed)
    nodes = [
        node for kind in kinds_in((PLANS / "fleet.hcl").read_text()) for node in kind.machines(0, kind.count)
    ]
    world.add_nodes(nodes)
    job = job_of(path)
    attempt = world.attempt(world.register(job))
    assert attempt is not None
    plan = plan_of(job, attempt)
    named = {node.id: node.name for node in nodes}
    plan["scores"] = {
        group: {named[node_id]: score for node_id, score in scores.items()}
        for group, scores in plan["scores"].items()
    }
    return json.dumps(plan, indent=1, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("path", examples(), ids=lambda path: path.relative_to(CONTRIB).as_posix())
def test_the_plan_of_an_example_is_as_reviewed(path: Path) -> None:
    golden, text = golden_of(path), planned(path)
    if REWRITE:
        golden.write_text(text)
    assert golden.exists(), f"{golden} is missing: run with ENCAMP_REWRITE=1 and review it"
    assert text == golden.read_text()


def test_no_plan_is_left_without_its_example() -> None:
    wanted = {golden_of(path).name for path in examples()}
    assert {path.name for path in PLANS.glob("*.json")} == wanted


@pytest.mark.parametrize("path", examples(), ids=lambda path: path.relative_to(CONTRIB).as_posix())
def test_no_plan_depends_on_how_ties_are_settled(path: Path) -> None:
    assert planned(path, seed=1) == planned(path, seed=2)


def test_every_example_can_be_placed_on_the_fleet() -> None:
    failing = {
        path.name: json.loads(planned(path))["failures"]
        for path in examples()
        if json.loads(planned(path))["failures"]
    }
    assert not failing
