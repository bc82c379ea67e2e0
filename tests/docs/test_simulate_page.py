"""The page about simulating keeps its word: its files are read, its commands run, its output is what they print."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from daemon.cli.framework import LazyGroup

PAGE = (Path(__file__).resolve().parents[2] / "docs/manual/simulate.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
CONTRIB = Path(__file__).resolve().parents[2] / "contrib" / "simulate"


def of(language: str) -> list[str]:
    return [text for kind, text in BLOCKS if kind == language]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    fleet, shop = of("hcl")
    (tmp_path / "fleet.hcl").write_text(fleet)
    (tmp_path / "shop.hcl").write_text(shop)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line: str) -> tuple[int, str]:
    done = CliRunner().invoke(LazyGroup(""), shlex.split(line)[1:], standalone_mode=False)
    assert done.exception is None, done.exception
    return int(done.return_value or 0), done.output


def test_the_commands_on_a_fleet_file_print_what_the_page_shows(files: Path) -> None:
    lines = [line for text in of("shell") for line in text.splitlines() if "-fleet" in line]
    outputs = [run(line) for line in lines]
    assert [code for code, _ in outputs] == [0, 1, 0]
    printed = "\n".join(output for _, output in outputs)
    for text in of("text"):
        assert text.rstrip() in printed, text


def test_the_example_in_contrib_fits_also_without_a_rack_and_says_what_to_add() -> None:
    base = f"encamp simulate -fleet {CONTRIB / 'fleet.hcl'}"
    assert run(f"{base} -lose meta.rack=r2 {CONTRIB / 'shop.hcl'}")[0] == 0
    code, output = run(f"{base} -var shops=40 {CONTRIB / 'shop.hcl'}")
    assert code == 1 and "Machines to add" in output


def test_the_page_names_every_key_of_a_machine() -> None:
    from daemon.simulate.fleet_file import MACHINE

    for name in [key.name for key in MACHINE.keys] + [child.name for child in MACHINE.children]:
        assert f"`{name}" in PAGE, name
