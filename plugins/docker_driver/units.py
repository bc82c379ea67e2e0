"""Reads the small notations that docker settings use: durations (`1h30m`), sizes (`64m`) and image names.
Pure.
"""

from __future__ import annotations

import re
from typing import Final

_UNITS_S: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_SIZE: Final = re.compile(r"(\d+)\s*([kmgt]?)(i?b)?", re.IGNORECASE)
_SIZES: Final = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
DEFAULT_TAG: Final = "latest"
DOCKER_HUB: Final = "https://index.docker.io/v1/"


def duration_s(text: str) -> float:
    """Seconds of a duration such as `3m` or `1h30m`. Raises ValueError."""
    if text == "0":
        return 0.0
    position, total = 0, 0.0
    for match in _DURATION.finditer(text):
        if match.start() != position:
            break
        total += float(match[1]) * _UNITS_S[match[2]]
        position = match.end()
    if not text or position != len(text):
        raise ValueError(f'expected a duration such as "30s" or "5m", found {text!r}')
    return total


def size_bytes(text: str) -> int:
    """Bytes of a size such as `64m` or `1g`. Raises ValueError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f'expected a size such as "64m", found {text!r}')
    return int(match[1]) * _SIZES[match[2].lower()]


def split_image(name: str) -> tuple[str, str]:
    """Repository and tag (or `sha256:...` digest) of an image name; no tag means `latest`."""
    repository, at, digest = name.partition("@")
    if at:
        return _without_tag(repository), digest
    head, slash, last = name.rpartition("/")
    base, colon, tag = last.partition(":")
    return head + slash + base, tag if colon and tag else DEFAULT_TAG


def _without_tag(repository: str) -> str:
    head, slash, last = repository.rpartition("/")
    return head + slash + last.partition(":")[0]


def full_name(name: str) -> str:
    """The image name with its tag or digest spelled out."""
    repository, tag = split_image(name)
    return f"{repository}@{tag}" if ":" in tag else f"{repository}:{tag}"


def registry_of(name: str) -> str:
    """The registry host that an image name points to; Docker Hub's index address where it names none."""
    first, slash, _ = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first
    return DOCKER_HUB
