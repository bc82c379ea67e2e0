"""Small deliberate mistakes, and whether the tests see them.

A mutation replaces one piece of text in one file of a copy of the sources; then the tests of its layer run against
that copy. It is killed when they fail. Each must be found exactly once in its file, so that the list stays true.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_COPIED = ("daemon", "plugins", "gossip", "tests", "contrib", "encamp.py", "setup.cfg", "pyproject.toml")
_UNWANTED = shutil.ignore_patterns("__pycache__", "*.egg-info")
TIMEOUT_S = 300


@dataclass(frozen=True)
class Mutation:
    """`before` becomes `after` in `file`; `tests`: paths, and `-k` words, that must then fail."""

    file: str
    before: str
    after: str
    tests: tuple[str, ...]

    def __str__(self) -> str:
        """Its place and what changes, on one line."""
        return f"{self.file}: {' '.join(self.before.split())} -> {' '.join(self.after.split())}"

    @property
    def source(self) -> str:
        """The file as it is."""
        return (ROOT / self.file).read_text()


def copy_sources(directory: Path) -> None:
    """A copy of all that the tests need."""
    for name in _COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, directory / name, ignore=_UNWANTED)
        else:
            shutil.copy(ROOT / name, directory / name)


def survives(mutation: Mutation, directory: Path) -> str:
    """Run its tests on the mutated copy in `directory`; "" when they fail as they should, else what they said."""
    file = directory / mutation.file
    file.write_text(mutation.source.replace(mutation.before, mutation.after))
    try:
        done = subprocess.run(
            [
                sys.executable, "-m", "pytest", "-x", "-q", "-n0", "-p", "no:cacheprovider", "-m", "not long",
                "--hypothesis-seed=1", *mutation.tests,
            ],
            cwd=directory,
            env=os.environ | {"PYTHONPATH": str(directory), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        # a mistake that hangs the tests is seen as well.
        return ""
    finally:
        file.write_text(mutation.source)
    # 1: tests failed. Anything else (nothing collected, usage) proves nothing.
    return (
        ""
        if done.returncode == 1
        else f"exit code {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-500:]}"
    )
