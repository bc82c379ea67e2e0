"""`encamp simulate`: output for people and programs, exit codes, errors with their places."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daemon.cli.views.occupancy import occupancy
from daemon.simulate.report import NodeUse
from tests.cli.conftest import Encamp
from tests.simulate.simkit import FLEET

JOB = """
job "web" {
  group "g" {
    count = 4
    task "t" {
      driver = "raw_exec"
      config { command = "true" }
      resources {
        cpu    = 400
        memory = 200
      }
    }
  }
}
"""


@pytest.fixture
def fleet(tmp_path: Path) -> str:
    path = tmp_path / "fleet.hcl"
    path.write_text(FLEET)
    return str(path)


@pytest.fixture
def job(tmp_path: Path) -> str:
    path = tmp_path / "web.hcl"
    path.write_text(JOB)
    return str(path)


def test_it_prints_a_table_and_a_picture_within_80_columns(encamp: Encamp, fleet: str, job: str) -> None:
    code, out, err = encamp("simulate", "-fleet", fleet, "-lose", "meta.rack=r1", job)
    assert (code, err) == (0, "")
    assert "After losing meta.rack=r1 (2 nodes)" in out and "small-06" in out
    assert max(len(line) for line in out.splitlines()) <= 80
    assert "\x1b" not in out


def test_json_has_it_all_and_is_the_same_each_time(encamp: Encamp, fleet: str, job: str) -> None:
    command = ("simulate", "-json", "-fleet", fleet, "-lose", "small-01", "-by", "meta.rack", job)
    code, out, _ = encamp(*command)
    assert code == 0 and encamp(*command).out == out
    answer = json.loads(out)
    assert answer["Fits"] is True and len(answer["Groups"][0]["Placements"]) == 4
    assert {use["Place"] for use in answer["Usage"]} == {"r1", "r2", "r3"}
    assert answer["Loss"]["Nodes"] == ["small-01"]


def test_what_does_not_fit_exits_1_and_says_why_in_80_columns(
    encamp: Encamp, fleet: str, tmp_path: Path
) -> None:
    path = tmp_path / "big.hcl"
    path.write_text(JOB.replace("count = 4", "count = 20"))
    code, out, _ = encamp("simulate", "-fleet", fleet, str(path))
    assert code == 1
    assert "nearest miss" in out and "Machines to add" in out and "Without a node: 8 allocations." in out
    assert max(len(line) for line in out.splitlines()) <= 80


def test_errors_in_both_files_have_their_place_and_exit_255(
    encamp: Encamp, fleet: str, job: str, tmp_path: Path
) -> None:
    bad_fleet = tmp_path / "bad-fleet.hcl"
    bad_fleet.write_text('machine "m" {\n  cpu = 1\n  memroy = 2\n}')
    code, _, err = encamp("simulate", "-fleet", str(bad_fleet), job)
    assert code == 255 and "bad-fleet.hcl:3:3" in err and 'did you mean "memory"?' in err
    bad_job = tmp_path / "bad-job.hcl"
    bad_job.write_text(JOB.replace("count", "cuont"))
    code, out, err = encamp("simulate", "-fleet", fleet, job, str(bad_job))
    assert (code, out) == (255, "") and "bad-job.hcl:4:5" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "nothing to simulate"),
        (("-lose", "meta.rack=r9", "JOB"), "r1, r2, r3"),
        (("-by", "rack", "JOB"), 'there is no "rack"'),
        (("JOB", "JOB"), "give one of them"),
        (("missing.hcl",), "missing.hcl"),
    ],
)
def test_wrong_words_are_explained(
    encamp: Encamp, fleet: str, job: str, words: tuple[str, ...], said: str
) -> None:
    given = [job if word == "JOB" else word for word in words]
    code, out, err = encamp("simulate", "-fleet", fleet, *given)
    assert (code, out) == (255, "") and said in err


def use(name: str, cpu_used: int, **facts: object) -> NodeUse:
    fields = {"id": name, "name": name, "datacenter": "dc1", "node_class": "", "status": "ready", "place": name,
              "cpu": 1000, "cpu_used": cpu_used, "memory_mb": 100, "memory_used_mb": 0, "disk_mb": 1,
              "disk_used_mb": 0, "allocations": 1}  # fmt: skip
    return NodeUse(**{**fields, **facts})  # type: ignore[arg-type]


def test_a_bar_is_full_only_when_the_machine_is() -> None:
    _, nearly, full, little, down = occupancy(
        [use("a", 999), use("b", 1000), use("c", 1), use("d", 0, status="down")], blocks=False
    )
    assert nearly.count("#") == 15 and full.count("#") == 16 and little.count("#") == 1
    assert down == "d     down"


def test_machines_of_one_place_share_a_bar_and_colour_is_asked_for() -> None:
    lines = occupancy([use("a", 500, place="r1"), use("b", 1000, place="r1")], color=True)
    assert len(lines) == 2 and "75%" in lines[1] and "2 on 2" in lines[1] and "\x1b[33m" in lines[1]
