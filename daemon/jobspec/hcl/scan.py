"""A light scanner over HCL text: where brackets, strings, comments and heredocs begin and end. Pure.

Theory: three questions are answered before or beside the grammar: how deep a text nests (a limit, so that
no recursion can run away), which bracket was left open (a parser only knows the end of the file), and
where the `}` of an interpolation inside a heredoc stands. An explicit stack, so depth costs no recursion.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: far beyond any real file, and far below Python's recursion limit.
DEPTH_MAX = 80

_PAIRS = {"{": "}", "[": "]", "(": ")"}
_HEREDOC = re.compile(r"<<-?([A-Za-z_][\w.-]*)[ \t]*\r?\n")
_INTEREST = re.compile(r'["{}\[\]()#]|//|/\*|<<|\Z')
_STRING = re.compile(r'\\.|\$\$\{|%%\{|\$\{|%\{|"|\n|\Z', re.DOTALL)


@dataclass(frozen=True, slots=True)
class ScanResult:
    """What was found: the place and kind of the first trouble, or the end of the scan."""

    #: "ok", "deep", "open" (a bracket without end), "string", "comment", "heredoc" (without end).
    trouble: str
    #: offset of the trouble; for "ok" the offset after the bracket that closed the scan.
    offset: int
    #: the bracket or heredoc marker concerned.
    what: str = ""


def scan(
    text: str, at: int = 0, *, until_close: bool = False, heredocs: list[tuple[int, int]] | None = None
) -> ScanResult:
    """Scan from `at` to the end, or to the `}` that closes what was open before `at`.

    A closing bracket that fits nothing is not reported: the grammar says that better. `heredocs` collects
    the (start, end) of the lines of closing markers.
    """
    stack: list[tuple[str, int]] = [("}", at)] if until_close else []
    while True:
        if stack and stack[-1][0] == '"':
            at, trouble = _in_string(text, at, stack)
            if trouble:
                return trouble
        else:
            found = _INTEREST.search(text, at)
            assert found is not None
            mark, at = found.group(), found.end()
            if not mark:
                if stack:
                    close, start = stack[-1]
                    return ScanResult("open", start, {"}": "{", "]": "[", ")": "("}[close])
                return ScanResult("ok", len(text))
            if mark in "}])":
                if stack and stack[-1][0] == mark:
                    stack.pop()
                    if until_close and not stack:
                        return ScanResult("ok", at)
                continue
            if mark in _PAIRS:
                stack.append((_PAIRS[mark], at - 1))
            elif mark == '"':
                stack.append(('"', at - 1))
            else:
                at, trouble = _skip(text, mark, found.start(), at, heredocs)
                if trouble:
                    return trouble
        if len(stack) > DEPTH_MAX:
            return ScanResult("deep", stack[-1][1])


def _in_string(text: str, at: int, stack: list[tuple[str, int]]) -> tuple[int, ScanResult | None]:
    found = _STRING.search(text, at)
    assert found is not None
    mark, at = found.group(), found.end()
    if mark == '"':
        stack.pop()
    elif mark in ("${", "%{"):
        stack.append(("}", at - 2))
    elif not mark or mark == "\n":
        return at, ScanResult("string", stack[-1][1])
    return at, None


def _skip(
    text: str, mark: str, start: int, at: int, heredocs: list[tuple[int, int]] | None
) -> tuple[int, ScanResult | None]:
    if mark in ("#", "//"):
        end = text.find("\n", at)
        return (end if end >= 0 else len(text)), None
    if mark == "/*":
        end = text.find("*/", at)
        return (end + 2, None) if end >= 0 else (at, ScanResult("comment", start))
    marker = _HEREDOC.match(text, start)
    if marker is None:
        return at, None
    closing = re.compile(rf"^[ \t]*{re.escape(marker.group(1))}[ \t]*\r?$", re.MULTILINE)
    end_found = closing.search(text, marker.end())
    if end_found is None:
        return at, ScanResult("heredoc", start, marker.group(1))
    if heredocs is not None:
        heredocs.append((end_found.start(), end_found.end()))
    return end_found.end(), None
