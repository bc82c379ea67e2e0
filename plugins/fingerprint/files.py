"""Reads the kernel's small text files, where a missing one means "not known"."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plugins.fingerprint.base import ProbeContext


def text_of(path: Path) -> str:
    """The content without white space around it; empty where it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def number_of(path: Path) -> int:
    """A whole number in a file; 0 where there is none."""
    text = text_of(path)
    return int(text) if text.lstrip("-").isdecimal() else 0


def cpu_list(text: str) -> set[int]:
    """The numbers of a kernel list such as `0-3,8`; parts that cannot be read are left out."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if first.isdecimal() and (last if dash else first).isdecimal():
            found.update(range(int(first), int(last if dash else first) + 1))
    return found


def override(context: ProbeContext, key: str) -> int:
    """A number from the agent's configuration; 0: not given. Raises ValueError naming the key."""
    value: Any = context.overrides.get(key) or 0
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"client setting {key}: expected a whole number, found {value!r}") from error
