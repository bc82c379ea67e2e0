"""One shape for every figure, printed for people and written as JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass
class Figure:
    """One measured figure; what it includes and leaves out is part of it."""

    name: str
    value: float
    unit: str
    better: str
    includes: str
    leaves_out: str = ""
    phases: dict[str, float] = field(default_factory=dict)
    repeats: list[float] = field(default_factory=list)


def machine() -> str:
    """Cores, processor and interpreter."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{os.cpu_count()} cores, {model}, CPython {platform.python_version()}"


def commit() -> str:
    """The commit measured, with a + when the tree has changes."""
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        )
        dirty = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def show(figure: Figure) -> None:
    """Print one figure."""
    print(f"{figure.name:<28} {figure.value:>14,.1f} {figure.unit}  ({figure.better} is better)", flush=True)
    print(f"    includes:   {figure.includes}")
    if figure.leaves_out:
        print(f"    leaves out: {figure.leaves_out}")
    for phase, value in figure.phases.items():
        print(f"    {phase:<28} {value:>10,.3f}")


def write(figures: list[Figure], path: str) -> None:
    """Write all figures as JSON."""
    facts = {"machine": machine(), "commit": commit()}
    Path(path).write_text(json.dumps([{**asdict(figure), **facts} for figure in figures], indent=2) + "\n")
