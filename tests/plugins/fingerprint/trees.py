"""Recorded /proc, /sys and /etc trees of machines that are not here, written under a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plugins.fingerprint.base import ProbeContext


def tree(root: Path, files: dict[str, str], **overrides: Any) -> ProbeContext:
    """A probe's context whose roots hold these files (path -> content)."""
    for name in ("proc", "sys", "etc", "data"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return ProbeContext(
        data_dir=root / "data", proc=root / "proc", sys=root / "sys", etc=root / "etc", overrides=overrides
    )


def cpuinfo(*cores: dict[str, str]) -> str:
    """A /proc/cpuinfo with these keys for each core."""
    blocks = (
        "\n".join(f"{key}\t: {value}" for key, value in {"processor": str(number), **core}.items())
        for number, core in enumerate(cores)
    )
    return "\n\n".join(blocks) + "\n\n"


XEON = {"model name": "Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz", "cpu MHz": "1200.021"}
CLOUD = {"model name": "Intel(R) Xeon(R) Processor", "cpu MHz": "2600.000"}
ARM = {"BogoMIPS": "243.75", "CPU part": "0xd0c"}
CPUS = "sys/devices/system/cpu"
