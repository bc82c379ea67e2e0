"""Type constraints of variables: `string`, `list(number)`, `object({...})` ..., and conversion to them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from daemon.jobspec.body import kind_of
from daemon.jobspec.diagnostics import nearest
from daemon.jobspec.hcl import nodes as n
from daemon.jobspec.hcl.convert import ConversionError, to_bool, to_number, to_text
from daemon.jobspec.hcl.evaluate import fail
from daemon.jobspec.hcl.functions.collections import as_set

_PRIMITIVES = ("string", "number", "bool", "any")
_COLLECTIONS = ("list", "set", "map")


@dataclass(frozen=True, slots=True)
class Type:
    """`name` with its element type, its attributes (object) or its items (tuple)."""

    name: str
    element: Type | None = None
    attributes: dict[str, tuple[Type, bool]] | None = None
    items: tuple[Type, ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether a command-line value is taken as it stands, not as an expression."""
        return self.name in ("string", "number", "bool")

    def __str__(self) -> str:
        if self.element is not None:
            return f"{self.name}({self.element})"
        if self.attributes is not None:
            return "object({" + ", ".join(f"{key}={each[0]}" for key, each in self.attributes.items()) + "})"
        return f"tuple([{', '.join(map(str, self.items))}])" if self.name == "tuple" else self.name

    def convert(self, value: Any) -> Any:
        """The value as this type.

        Raises: ConversionError, with the path of what does not fit.
        """
        if value is None or self.name == "any":
            return value
        if self.name == "string":
            return to_text(value)
        if self.name == "number":
            return to_number(value)
        if self.name == "bool":
            return to_bool(value)
        if self.name in ("list", "set"):
            return self._sequence(value)
        if self.name == "tuple":
            return self._tuple(value)
        return self._object(value)

    def _sequence(self, value: Any) -> list[Any]:
        if not isinstance(value, list | tuple):
            raise ConversionError(f"a {self} is needed, not {kind_of(value)}")
        assert self.element is not None
        result = [_inner(self.element, each, f"element {at}") for at, each in enumerate(value)]
        return as_set(result) if self.name == "set" else result

    def _tuple(self, value: Any) -> list[Any]:
        if not isinstance(value, list | tuple) or len(value) != len(self.items):
            found = f"a list of {len(value)}" if isinstance(value, list | tuple) else kind_of(value)
            raise ConversionError(f"a {self} is needed, not {found}")
        return [
            _inner(t, v, f"element {at}") for at, (t, v) in enumerate(zip(self.items, value, strict=True))
        ]

    def _object(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ConversionError(f"a {self} is needed, not {kind_of(value)}")
        if self.element is not None:
            return {key: _inner(self.element, each, f'key "{key}"') for key, each in value.items()}
        assert self.attributes is not None
        missing = [key for key, (_, optional) in self.attributes.items() if key not in value and not optional]
        if missing:
            raise ConversionError(f'the attribute "{missing[0]}" is missing')
        return {
            key: _inner(each, value.get(key), f'attribute "{key}"')
            for key, (each, _) in self.attributes.items()
        }


def _inner(type_: Type, value: Any, where: str) -> Any:
    try:
        return type_.convert(value)
    except ConversionError as failure:
        raise ConversionError(f"{where}: {failure}") from None


ANY = Type("any")


def infer(value: Any) -> Type:
    """The type that a default without `type` gives: only the scalar ones matter."""
    if isinstance(value, bool):
        return Type("bool")
    if isinstance(value, int | float):
        return Type("number")
    return Type("string") if isinstance(value, str) else ANY


def read_type(node: n.Node) -> Type:
    """The type that an expression spells.

    Raises: DiagnosticError.
    """
    if isinstance(node, n.Literal) and isinstance(node.value, str):
        return _primitive(node.value, node)
    if isinstance(node, n.Name):
        return _primitive(node.name, node)
    if isinstance(node, n.Call):
        if len(node.arguments) != 1:
            raise fail(f"{node.name}(...) takes one argument here", node.range)
        argument = node.arguments[0]
        if node.name in _COLLECTIONS:
            return Type(node.name, read_type(argument))
        if node.name == "object" and isinstance(argument, n.ObjectNode):
            return Type("object", attributes=dict(_attribute(key, each) for key, each in argument.items))
        if node.name == "tuple" and isinstance(argument, n.TupleNode):
            return Type("tuple", items=tuple(read_type(each) for each in argument.items))
    raise fail("this is not a type", node.range, _KNOWN)


_KNOWN = "types: string, number, bool, any, list(T), set(T), map(T), object({name = T}), tuple([T, T])"


def _primitive(name: str, node: n.Node) -> Type:
    if name in _PRIMITIVES:
        return Type(name)
    if name in _COLLECTIONS:
        return Type(name, ANY)
    raise fail(f'there is no type "{name}"', node.range, nearest(name, _PRIMITIVES) or _KNOWN)


def _attribute(key: n.Node, node: n.Node) -> tuple[str, tuple[Type, bool]]:
    if not isinstance(key, n.Literal):
        raise fail("a name is needed here", key.range)
    optional = isinstance(node, n.Call) and node.name == "optional" and bool(node.arguments)
    if optional:
        assert isinstance(node, n.Call)
        return str(key.value), (read_type(node.arguments[0]), True)
    return str(key.value), (read_type(node), False)
