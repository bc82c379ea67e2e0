"""Turns a block of a job or agent file, read as plain maps and lists, into a typed struct, with all errors
at once.

Theory: the job-file reader knows nothing of a driver's keys, so `port_map { db = 6379 }` reaches us as a
map, or as a list with one map when the block could be repeated. The struct's types decide: a struct or
map field takes either shape (several maps of one map field are merged), a list of structs takes one block
too. Scalars convert as the configuration language does: "8080" is a number where a number is wanted, 1 is
"1" where text is wanted. Rules on values belong to the struct: a method `problems()` returning (path,
what is wrong), run when the shape is right. A class attribute `unsupported_keys` (key -> why) explains
keys that are known but not acted on.

With `lenient=True` (a job at submit, not interpolated yet) text with `${` stands where any scalar is
expected; rules must let such text pass.
Pure. Not here: positions in files; the reader of the file finds them by path.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec
from msgspec import inspect

from plugins.driver import ConfigError

Problems = list[tuple[str, str]]
StructT = TypeVar("StructT", bound=msgspec.Struct)

MAX_DEPTH: Final = 32
_BOOLS: Final = {"true": True, "1": True, "false": False, "0": False}


class _Wrong:
    """Stands for a value that could not be read; its problem is recorded."""


_WRONG: Final = _Wrong()


def is_interpolated(value: object) -> bool:
    """True for text whose value is known only on the node: it has `${...}` in it."""
    return isinstance(value, str) and "${" in value


def decode(kind: type[StructT], block: Any) -> StructT:
    """Decode a block into its struct. Raises ConfigError with every problem found."""
    reader = _Reader(lenient=False)
    value = reader.read(_type_info(kind), block, "", 0)
    if reader.problems:
        raise ConfigError(reader.problems)
    assert isinstance(value, kind)
    return value


def check(kind: type[msgspec.Struct], block: Any) -> Problems:
    """Everything that is wrong with a block that may still hold `${...}`; empty: nothing."""
    reader = _Reader(lenient=True)
    reader.read(_type_info(kind), block, "", 0)
    return reader.problems


@functools.lru_cache(maxsize=256)
def _type_info(kind: type[msgspec.Struct]) -> inspect.Type:
    return inspect.type_info(kind)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _shape(value: Any) -> str:
    """The kind of a value in words of a job file."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a bool"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a list" if isinstance(value, (list, tuple)) else "a block"


class _Reader:
    """One pass over one block; collects `problems`."""

    def __init__(self, *, lenient: bool) -> None:
        self.lenient = lenient
        self.problems: Problems = []

    def wrong(self, path: str, why: str) -> _Wrong:
        """Record a problem."""
        self.problems.append((path, why))
        return _WRONG

    def read(self, kind: inspect.Type, value: Any, path: str, depth: int) -> Any:
        """Read one value as the type says, or record why it cannot be."""
        if depth > MAX_DEPTH:
            return self.wrong(path, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(kind, inspect.Metadata):
            return self.read(kind.type, value, path, depth)
        if isinstance(kind, inspect.UnionType):
            return self._union(kind, value, path, depth)
        if isinstance(kind, inspect.StructType):
            return self._struct(kind, value, path, depth)
        if isinstance(kind, inspect.DictType):
            return self._map(kind, value, path, depth)
        if isinstance(kind, (inspect.ListType, inspect.VarTupleType)):
            return self._list(kind, value, path, depth)
        if isinstance(kind, inspect.AnyType):
            return value
        return self._scalar(kind, value, path)

    def _union(self, kind: inspect.UnionType, value: Any, path: str, depth: int) -> Any:
        """Optional fields: null stays null, everything else is read as the other member."""
        if value is None and any(isinstance(member, inspect.NoneType) for member in kind.types):
            return None
        others = [member for member in kind.types if not isinstance(member, inspect.NoneType)]
        mark = len(self.problems)
        for member in others:
            found = self.read(member, value, path, depth + 1)
            if len(self.problems) == mark:
                return found
            if member is not others[-1]:
                del self.problems[mark:]
        return _WRONG

    def _struct(self, kind: inspect.StructType, value: Any, path: str, depth: int) -> Any:
        if isinstance(value, (list, tuple)):
            if len(value) > 1:
                return self.wrong(path, f"given {len(value)} times; it may stand here once")
            value = value[0] if value else {}
        if not isinstance(value, dict):
            return self.wrong(path, f"expected a block, found {_shape(value)}")
        mark = len(self.problems)
        fields = {field.encode_name: field for field in kind.fields}
        values: dict[str, Any] = {}
        for key, item in value.items():
            field = fields.get(key)
            if field is None:
                self._unknown(kind, key, path)
                continue
            found = self.read(field.type, item, _join(path, key), depth + 1)
            if isinstance(found, _Wrong):
                continue
            if self.lenient and is_interpolated(item) and not isinstance(found, str):
                if field.required:
                    values[field.name] = found
                continue  # the default stands in for what only the node will know
            values[field.name] = found
        for field in kind.fields:
            if field.required and field.encode_name not in value:
                self.wrong(_join(path, field.encode_name), "is required and missing")
        if len(self.problems) > mark:
            return _WRONG
        made = kind.cls(**values)
        rules: Callable[[], Problems] | None = getattr(made, "problems", None)
        for inner, why in rules() if rules is not None else ():
            self.wrong(_join(path, inner) if inner else path, why)
        return made if len(self.problems) == mark else _WRONG

    def _unknown(self, kind: inspect.StructType, key: str, path: str) -> None:
        """Explain a key that the struct does not have."""
        unsupported: dict[str, str] = getattr(kind.cls, "unsupported_keys", {})
        if key in unsupported:
            self.wrong(_join(path, key), f"is not supported: {unsupported[key]}")
            return
        names = sorted(field.encode_name for field in kind.fields)
        close = difflib.get_close_matches(str(key), names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(names)}"
        self.wrong(_join(path, str(key)), f"unknown key; {hint}")

    def _map(self, kind: inspect.DictType, value: Any, path: str, depth: int) -> Any:
        blocks = value if isinstance(value, (list, tuple)) else [value]
        merged: dict[str, Any] = {}
        for block in blocks:
            if not isinstance(block, dict):
                return self.wrong(path, f"expected a map, found {_shape(block)}")
            for key, item in block.items():
                found = self.read(kind.value_type, item, _join(path, str(key)), depth + 1)
                if not isinstance(found, _Wrong):
                    merged[str(key)] = found
        return merged

    def _list(self, kind: inspect.ListType | inspect.VarTupleType, value: Any, path: str, depth: int) -> Any:
        if isinstance(value, dict) and isinstance(kind.item_type, inspect.StructType):
            value = [value]
        if not isinstance(value, (list, tuple)):
            if self.lenient and is_interpolated(value):
                return []
            return self.wrong(path, f"expected a list, found {_shape(value)}")
        items = [
            self.read(kind.item_type, item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)
        ]
        kept = [item for item in items if not isinstance(item, _Wrong)]
        return tuple(kept) if isinstance(kind, inspect.VarTupleType) else kept

    def _scalar(self, kind: inspect.Type, value: Any, path: str) -> Any:
        if isinstance(kind, inspect.StrType):
            return self._text(value, path)
        if isinstance(kind, inspect.BoolType):
            if isinstance(value, bool):
                return value
            if self.lenient and is_interpolated(value):
                return False
            if isinstance(value, (str, int)) and str(value).lower() in _BOOLS:
                return _BOOLS[str(value).lower()]
            return self.wrong(path, f"expected true or false, found {_shown(value)}")
        if isinstance(kind, (inspect.IntType, inspect.FloatType)):
            return self._number(kind, value, path)
        return self.wrong(path, f"has a type that configuration blocks cannot have: {type(kind).__name__}")

    def _text(self, value: Any, path: str) -> Any:
        if isinstance(value, str):
            return value
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int):
            return str(value)
        if isinstance(value, float):
            return str(int(value)) if value.is_integer() else repr(value)
        return self.wrong(path, f"expected a string, found {_shape(value)}")

    def _number(self, kind: inspect.IntType | inspect.FloatType, value: Any, path: str) -> Any:
        whole = isinstance(kind, inspect.IntType)
        name = "whole number" if whole else "number"
        if self.lenient and is_interpolated(value):
            return 0
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            return self.wrong(path, f"expected a {name}, found {_shown(value)}")
        try:
            number = float(value)
            if whole:
                number = int(value)
                if isinstance(value, float) and not value.is_integer():
                    raise ValueError
        except (ValueError, OverflowError):
            return self.wrong(path, f"expected a {name}, found {_shown(value)}")
        if not -(2**63) <= number < 2**63:
            return self.wrong(path, f"expected a {name} of 64 bits, found {_shown(value)}")
        return number


def _shown(value: Any) -> str:
    """A scalar as the user wrote it, anything else by its shape."""
    return repr(value)[:80] if isinstance(value, (str, int, float)) else _shape(value)
