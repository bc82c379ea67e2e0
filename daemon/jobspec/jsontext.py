"""JSON with places: text to `Value`, duplicate keys and every other fault at its position. Pure.

Theory: the standard library's reader forgets where things stood. This one recurses, with its depth limited;
strings are decoded by the library.

Source: RFC 8259.
"""

from __future__ import annotations

import json
import re
from typing import Any

from daemon.jobspec.body import Value
from daemon.jobspec.diagnostics import DiagnosticError, error
from daemon.jobspec.hcl.scan import DEPTH_MAX
from daemon.jobspec.source import Range, Source

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")
_WORDS = {"true": True, "false": False, "null": None}
_WORD = re.compile(r"true|false|null")


def read_json(source: Source) -> Value:
    """The value of a JSON text.

    Raises: DiagnosticError.
    """
    reader = _Reader(source)
    value, at = reader.value(0, 0)
    at = reader.skip(at)
    if at < len(source.text):
        raise reader.wrong(at, "something follows the JSON value")
    return value


def read_json_values(source: Source) -> list[tuple[str, Range, Any, Range]]:
    """(key, its place, plain value, its place) of a JSON object."""
    value = read_json(source)
    if not isinstance(value.data, dict):
        raise DiagnosticError(error("a JSON object is expected here", value.range))
    return [(key, value.keys[key], each.plain(), each.range) for key, each in value.data.items()]


class _Reader:
    """Recursive, with the depth counted: `DEPTH_MAX` frames at most."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.text = source.text

    def skip(self, at: int) -> int:
        """After white space."""
        found = _SPACE.match(self.text, at)
        assert found is not None
        return found.end()

    def wrong(self, at: int, summary: str, advice: str = "") -> DiagnosticError:
        """The error to raise."""
        return DiagnosticError(error(summary, self.source.range(at, at + 1), suggestion=advice))

    def value(self, at: int, depth: int) -> tuple[Value, int]:
        """A value and the offset after it."""
        at = self.skip(at)
        if depth > DEPTH_MAX:
            raise self.wrong(at, f"nested more than {DEPTH_MAX} deep")
        first = self.text[at : at + 1]
        if first == "{":
            return self.object(at, depth)
        if first == "[":
            return self.array(at, depth)
        if first == '"':
            text, end = self.string(at)
            return Value(text, self.source.range(at, end)), end
        word = _WORD.match(self.text, at)
        if word is not None:
            return Value(_WORDS[word.group()], self.source.range(at, word.end())), word.end()
        number = _NUMBER.match(self.text, at)
        if number is None:
            raise self.wrong(min(at, max(0, len(self.text) - 1)), "a JSON value is missing here")
        return Value(self.number(number, at), self.source.range(at, number.end())), number.end()

    def number(self, found: re.Match[str], at: int) -> int | float:
        """An int, or a float when it has a point or an exponent that needs one."""
        if len(found.group()) > 300:
            raise self.wrong(at, "this number is too long")
        if found.group(1) is None and found.group(2) is None:
            return int(found.group())
        value = float(found.group())
        if value in (float("inf"), float("-inf")):
            raise self.wrong(at, "this number is too large")
        return value

    def string(self, at: int) -> tuple[str, int]:
        """A string and the offset after it."""
        found = _STRING.match(self.text, at)
        if found is None:
            raise self.wrong(at, "this JSON string is not closed, or holds an unknown escape")
        text = json.loads(found.group())
        assert isinstance(text, str)
        if not text.isprintable() and any(0xD800 <= ord(char) < 0xE000 for char in text):
            raise self.wrong(at, "this JSON string holds half of a surrogate pair")
        return text, found.end()

    def object(self, start: int, depth: int) -> tuple[Value, int]:
        """An object and the offset after it."""
        data: dict[str, Value] = {}
        keys: dict[str, Range] = {}
        at = self.skip(start + 1)
        while self.text[at : at + 1] != "}":
            if data:
                at = self.skip(self.comma(at, start, "}"))
            if self.text[at : at + 1] != '"':
                raise self.wrong(min(at, len(self.text) - 1), 'a key in "quotes" is missing here')
            key, end = self.string(at)
            place = self.source.range(at, end)
            if key in data:
                raise self.wrong(at, f'the key "{key}" is given twice')
            at = self.skip(end)
            if self.text[at : at + 1] != ":":
                raise self.wrong(min(at, len(self.text) - 1), f'a : is missing after the key "{key}"')
            data[key], at = self.value(at + 1, depth + 1)
            keys[key] = place
            at = self.skip(at)
        return Value(data, self.source.range(start, at + 1), keys), at + 1

    def array(self, start: int, depth: int) -> tuple[Value, int]:
        """A list and the offset after it."""
        items: list[Value] = []
        at = self.skip(start + 1)
        while self.text[at : at + 1] != "]":
            if items:
                at = self.comma(at, start, "]")
            value, at = self.value(at, depth + 1)
            items.append(value)
            at = self.skip(at)
        return Value(items, self.source.range(start, at + 1)), at + 1

    def comma(self, at: int, start: int, close: str) -> int:
        """After a comma."""
        if self.text[at : at + 1] == ",":
            return at + 1
        if at >= len(self.text):
            raise self.wrong(start, f"this {self.text[start]} is never closed")
        raise self.wrong(at, f"a comma or {close} is missing here")
