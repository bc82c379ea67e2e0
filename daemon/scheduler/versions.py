"""Versions and conditions on them: the loose kind (`version`) and the strict kind (`semver`). Pure.

Theory: a condition list is `>= 1.2, < 2`. Loose versions may have any number of parts and know `~>`; a prerelease
never satisfies a condition whose bound is a release. SemVer orders prereleases like everything else. Build
metadata never counts.

Source: spec/scheduler.md 4.3; semver.org 2.0.0 section 11.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_LOOSE = re.compile(
    r"v?(\d{1,18}(?:\.\d{1,18}){0,15})(?:-?([A-Za-z~][0-9A-Za-z.~-]*)|-([0-9A-Za-z.~-]+))?(?:\+\S*)?\Z"
)
_STRICT = re.compile(r"v?(\d{1,18}(?:\.\d{1,18}){0,2})(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?\Z")
_CONDITION = re.compile(r"\s*(>=|<=|!=|~>|>|<|==|=|)\s*(\S+)\s*\Z")
#: sorts after every prerelease.
_RELEASE = ((2, 0, ""),)


@dataclass(frozen=True)
class Version:
    """Numbers padded to three, how many were written, and the prerelease."""

    numbers: tuple[int, ...]
    written: int
    prerelease: str

    @property
    def key(self) -> tuple[tuple[int, ...], tuple[tuple[int, int, str], ...]]:
        """Sorts as versions do."""
        return (self.numbers, _prerelease_key(self.prerelease))


def _prerelease_key(text: str) -> tuple[tuple[int, int, str], ...]:
    if not text:
        return _RELEASE
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in text.split("."))


@lru_cache(maxsize=4096)
def parse_version(text: str, strict: bool) -> Version | None:
    """Read a version; None when it is none."""
    match = (_STRICT if strict else _LOOSE).match(text.strip())
    if match is None:
        return None
    numbers = tuple(int(part) for part in match[1].split("."))
    prerelease = next((part for part in match.groups()[1:] if part), "")
    return Version(numbers + (0,) * (3 - len(numbers)), len(numbers), prerelease)


@dataclass(frozen=True)
class Condition:
    """One bound of a list."""

    operator: str
    bound: Version
    strict: bool

    def holds(self, version: Version) -> bool:
        """True when the version satisfies the bound."""
        operator, bound = self.operator, self.bound
        if operator in ("", "=", "=="):
            return _padded(version) == _padded(bound)
        if operator == "!=":
            return _padded(version) != _padded(bound)
        if not self.strict and version.prerelease and not _same_base_prerelease(version, bound):
            return False
        left, right = _padded(version), _padded(bound)
        if operator == ">":
            return left > right
        if operator == "<":
            return left < right
        if operator == "<=":
            return left <= right
        if left < right:
            return False
        fixed = bound.written - 1 if operator == "~>" else 0
        return version.numbers[:fixed] == bound.numbers[:fixed]


def _padded(version: Version) -> tuple[tuple[int, ...], tuple[tuple[int, int, str], ...]]:
    return (version.numbers + (0,) * (16 - len(version.numbers)), _prerelease_key(version.prerelease))


def _same_base_prerelease(version: Version, bound: Version) -> bool:
    return bool(bound.prerelease) and version.numbers == bound.numbers


@lru_cache(maxsize=1024)
def parse_conditions(text: str, strict: bool) -> tuple[Condition, ...] | None:
    """Read a comma list of conditions; None when it is not one."""
    conditions = []
    for part in text.split(","):
        match = _CONDITION.match(part)
        bound = parse_version(match[2], strict) if match else None
        if match is None or bound is None or (strict and match[1] == "~>"):
            return None
        conditions.append(Condition(match[1], bound, strict))
    return tuple(conditions)


def satisfies(version: str, conditions: str, strict: bool) -> bool:
    """True when both can be read and every condition holds."""
    parsed, bounds = parse_version(version, strict), parse_conditions(conditions, strict)
    return parsed is not None and bounds is not None and all(bound.holds(parsed) for bound in bounds)
