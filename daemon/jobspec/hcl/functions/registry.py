"""The table of functions, filled by the decorator `function`. Pure."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from daemon.jobspec.hcl.convert import to_bool, to_int, to_list, to_map, to_number, to_text

#: how an argument of each kind is converted.
CONVERT: dict[str, Callable[[Any], Any]] = {
    "string": to_text,
    "number": to_number,
    "int": to_int,
    "bool": to_bool,
    "list": to_list,
    "map": to_map,
    "any": lambda value: value,
}

_MODULES = ("numbers", "strings", "formats", "collections", "encoding", "network", "times", "files")


@dataclass(frozen=True, slots=True)
class Function:
    """A function and its signature: kinds of parameters, the kind of further ones, how many are needed."""

    run: Callable[..., Any]
    params: tuple[str, ...]
    rest: str | None
    least: int
    reads_files: bool


REGISTRY: dict[str, Function] = {}
F = TypeVar("F", bound=Callable[..., Any])


def function(
    name: str, *params: str, rest: str | None = None, least: int | None = None, reads_files: bool = False
) -> Callable[[F], F]:
    """Register the decorated callable; it raises ValueError with a reason when it cannot."""

    def register(run: F) -> F:
        needed = len(params) if least is None else least
        REGISTRY[name] = Function(run, params, rest, needed, reads_files)
        return run

    return register


def load_all() -> None:
    """Import every module of functions once."""
    for module in _MODULES:
        importlib.import_module(f"daemon.jobspec.hcl.functions.{module}")
