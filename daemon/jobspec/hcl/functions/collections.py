"""Functions on lists, sets and objects. Sets are lists without repeats, in order of text. Pure."""

from __future__ import annotations

import itertools
from typing import Any

from daemon.jobspec.body import kind_of
from daemon.jobspec.hcl import convert
from daemon.jobspec.hcl.functions.registry import function

#: results longer than this are refused.
_LENGTH_MAX = 100_000


def as_set(values: list[Any]) -> list[Any]:
    """Without repeats; texts in order."""
    result = convert.distinct(values)
    if all(isinstance(each, str) for each in result) or all(map(convert.is_number, result)):
        result.sort()
    return result


@function("chunklist", "list", "int")
def chunklist(items: list[Any], size: int) -> list[list[Any]]:
    """Pieces of a size; 0 is one piece."""
    if size < 0:
        raise ValueError("the size cannot be negative")
    if size == 0:
        return [items]
    return [items[at : at + size] for at in range(0, len(items), size)]


@function("coalesce", rest="any", least=1)
def coalesce(*values: Any) -> Any:
    """The first that is neither null nor an empty text."""
    for each in values:
        if each is not None and each != "":
            return each
    raise ValueError("all arguments are null or empty")


@function("coalescelist", rest="any", least=1)
def coalescelist(*values: Any) -> Any:
    """The first list that is not empty."""
    for each in values:
        if each:
            return convert.to_list(each)
    raise ValueError("all lists are empty")


@function("compact", "list")
def compact(items: list[Any]) -> list[Any]:
    """Without empty texts and nulls."""
    return [each for each in items if each is not None and each != ""]


@function("concat", rest="list", least=1)
def concat(*lists: list[Any]) -> list[Any]:
    """One list after the other."""
    return list(itertools.chain(*lists))


@function("contains", "list", "any")
def contains(items: list[Any], value: Any) -> bool:
    """Whether the list holds the value."""
    return any(convert.equal(each, value) for each in items)


@function("distinct", "list")
def distinct(items: list[Any]) -> list[Any]:
    """Without repeats."""
    return convert.distinct(items)


@function("element", "list", "int")
def element(items: list[Any], at: int) -> Any:
    """Element of an index that starts again at the end."""
    if not items:
        raise ValueError("the list is empty")
    return items[at % len(items)]


@function("flatten", "list")
def flatten(items: list[Any]) -> list[Any]:
    """Lists in lists as one list."""
    result: list[Any] = []
    stack = list(reversed(items))
    while stack:
        each = stack.pop()
        if isinstance(each, list):
            stack.extend(reversed(each))
        else:
            result.append(each)
    return result


@function("index", "list", "any")
def index(items: list[Any], value: Any) -> int:
    """Place of a value."""
    for at, each in enumerate(items):
        if convert.equal(each, value):
            return at
    raise ValueError("the list does not hold this value")


@function("keys", "map")
def keys(held: dict[str, Any]) -> list[str]:
    """Keys in order."""
    return sorted(held)


@function("values", "map")
def values(held: dict[str, Any]) -> list[Any]:
    """Values in the order of their keys."""
    return [held[key] for key in sorted(held)]


@function("length", "any")
def length(value: Any) -> int:
    """Elements of a list or object, characters of a text."""
    if isinstance(value, list | dict | str):
        return len(value)
    raise ValueError(f"{kind_of(value)} has no length")


@function("lookup", "map", "string", "any", least=2)
def lookup(held: dict[str, Any], key: str, *default: Any) -> Any:
    """Value of a key, or the default."""
    if key in held:
        return held[key]
    if default:
        return default[0]
    raise ValueError(f'there is no key "{key}"')


@function("merge", rest="any", least=1)
def merge(*maps: Any) -> dict[str, Any]:
    """Objects put together; later keys win, nulls are skipped."""
    result: dict[str, Any] = {}
    for each in maps:
        if each is not None:
            result.update(convert.to_map(each))
    return result


@function("reverse", "list")
def reverse(items: list[Any]) -> list[Any]:
    """Backwards."""
    return items[::-1]


@function("setintersection", rest="list", least=1)
def setintersection(first: list[Any], *others: list[Any]) -> list[Any]:
    """What all hold."""
    return as_set([each for each in first if all(contains(other, each) for other in others)])


@function("setunion", rest="list", least=1)
def setunion(*lists: list[Any]) -> list[Any]:
    """What any holds."""
    return as_set(concat(*lists))


@function("setproduct", rest="list", least=2)
def setproduct(*lists: list[Any]) -> list[list[Any]]:
    """All combinations."""
    size = 1
    for each in lists:
        size *= len(each)
    if size > _LENGTH_MAX:
        raise ValueError(f"the product has {size} elements, more than {_LENGTH_MAX}")
    return [list(each) for each in itertools.product(*lists)]


@function("slice", "list", "int", "int")
def slice_(items: list[Any], start: int, end: int) -> list[Any]:
    """From start up to, not with, end."""
    if not 0 <= start <= end <= len(items):
        raise ValueError(f"{start} to {end} does not lie in a list of {len(items)}")
    return items[start:end]


@function("sort", "list")
def sort(items: list[Any]) -> list[str]:
    """Texts in order."""
    return sorted(convert.to_text(each) for each in items)


@function("zipmap", "list", "list")
def zipmap(names: list[Any], held: list[Any]) -> dict[str, Any]:
    """An object of keys and values."""
    if len(names) != len(held):
        raise ValueError(f"{len(names)} keys and {len(held)} values")
    return {convert.to_text(key): value for key, value in zip(names, held, strict=True)}
