"""The README's blocks are run, its picture is the table's, and what it prints is what it says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import gossip
from gossip.core.states import picture

FOLDER = Path(gossip.__file__).parent
TEXT = (FOLDER / "README.md").read_text()
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(FOLDER.parent)}


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", TEXT, re.DOTALL)


def run(arguments: list[str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_python_blocks_run_and_print_what_is_said(tmp_path: Path) -> None:
    first, two, keys, world = blocks("python")
    run(["-W", "error", "-c", first + "\nimport asyncio\nasyncio.run(main())"], tmp_path)
    assert run(["-W", "error", "-c", two], tmp_path) == blocks("text")[0]
    assert run(["-W", "error", "-c", keys], tmp_path).startswith("1 member")
    assert run(["-c", world], tmp_path).strip() in TEXT


def test_console_blocks_run(tmp_path: Path) -> None:
    commands = [
        line[2:] for block in blocks("console") for line in block.splitlines() if line.startswith("$ ")
    ]
    assert len(commands) == 3
    for command in commands:
        words = shlex.split(command)
        assert words[0] == "python"
        assert run(words[1:], tmp_path)


def test_the_picture_is_made_from_the_table() -> None:
    assert blocks("mermaid") == [picture() + "\n"]


def test_every_setting_is_explained_where_it_stands() -> None:
    lines = (FOLDER / "config.py").read_text().splitlines()
    fields = [number for number, line in enumerate(lines) if re.match(r"    [a-z_]+: [^=(]+( = .*)?$", line)]
    assert len(fields) > 40
    for number in fields:
        assert lines[number + 1].strip().startswith('"""'), lines[number]
