"""What is wrong with a text, where, and what to do about it; printed for people or as JSON. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from daemon.jobspec.source import Range

#: a caret line longer than this is noise.
_CARETS_MAX = 60
#: a source line is cut to this many characters round the caret.
_LINE_MAX = 160


class Severity(StrEnum):
    """An error refuses the file; a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. `suggestion` is what to do, when that is known exactly."""

    severity: Severity
    summary: str
    detail: str = ""
    range: Range | None = None
    suggestion: str = ""

    @property
    def is_error(self) -> bool:
        """Whether it refuses the file."""
        return self.severity is Severity.ERROR

    def __str__(self) -> str:
        """One line: `file:line:col: error: summary`."""
        where = f"{self.range}: " if self.range else ""
        return f"{where}{self.severity}: {self.summary}"


def printable(text: str) -> str:
    """Text from a file with what could move a terminal's cursor made visible."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in text)


def error(summary: str, range_: Range | None, *, detail: str = "", suggestion: str = "") -> Diagnostic:
    """An error."""
    return Diagnostic(Severity.ERROR, printable(summary), detail, range_, printable(suggestion))


def warning(summary: str, range_: Range | None, *, detail: str = "", suggestion: str = "") -> Diagnostic:
    """A warning."""
    return Diagnostic(Severity.WARNING, printable(summary), detail, range_, printable(suggestion))


class DiagnosticError(Exception):
    """A reader cannot go on. Caught inside this package, and turned into its diagnostics."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("\n".join(str(each) for each in diagnostics))
        self.diagnostics = diagnostics


def nearest(word: str, known: Iterable[str]) -> str:
    """A `did you mean` sentence for a misspelt word, or nothing."""
    options = list(known)
    lower = {option.lower(): option for option in options}
    if word.lower() in lower and lower[word.lower()] != word:
        return f'did you mean "{lower[word.lower()]}"?'
    found = difflib.get_close_matches(word, options, n=1, cutoff=0.7)
    return f'did you mean "{found[0]}"?' if found else ""


def ordered(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """In the order of the text, those without a place last; equal ones once."""
    seen: dict[tuple[str, str, int], Diagnostic] = {}
    for each in diagnostics:
        start = each.range.start if each.range else -1
        seen.setdefault((each.severity, each.summary, start), each)
    return tuple(
        sorted(
            seen.values(),
            key=lambda each: (0, each.range.source.name, each.range.start) if each.range else (1, "", 0),
        )
    )


def render(diagnostics: Iterable[Diagnostic]) -> str:
    """Text for a terminal: place, message, the line, a caret, the advice; a blank line between two."""
    return "\n".join(_render_one(each) for each in diagnostics)


def _render_one(each: Diagnostic) -> str:
    lines = [str(each)]
    if each.range is not None:
        lines += _snippet(each.range)
    pad = "  " if each.range is None else " " * len(f"  {each.range.line}")
    lines += [f"{pad} = {part}" for part in each.detail.splitlines() if part.strip()]
    if each.suggestion:
        lines.append(f"{pad} = {each.suggestion}")
    return "\n".join(lines) + "\n"


def _snippet(range_: Range) -> list[str]:
    number, column = range_.source.position(range_.start)
    text = "".join(
        char if char == "\t" or char.isprintable() else "\ufffd" for char in range_.source.line(number)
    )
    if len(text) > _LINE_MAX:
        cut = max(0, min(column - 1 - _LINE_MAX // 2, len(text) - _LINE_MAX))
        text, column = text[cut : cut + _LINE_MAX], column - cut
    lead = "".join("\t" if char == "\t" else " " for char in text[: column - 1])
    width = max(1, min(range_.end - range_.start, len(text) - column + 1, _CARETS_MAX))
    gutter = f"  {number}"
    return [f"{gutter} | {text}", f"{' ' * len(gutter)} | {lead}{'^' * width}"]


def to_json(diagnostics: Iterable[Diagnostic]) -> list[dict[str, Any]]:
    """Plain data for `-json` output."""
    return [_json_one(each) for each in diagnostics]


def _json_one(each: Diagnostic) -> dict[str, Any]:
    data: dict[str, Any] = {
        "Severity": each.severity.value,
        "Summary": each.summary,
        "Detail": each.detail,
        "Suggestion": each.suggestion,
    }
    if each.range is not None:
        source = each.range.source
        start, end = source.position(each.range.start), source.position(each.range.end)
        data["Range"] = {
            "Filename": source.name,
            "Start": {"Line": start[0], "Column": start[1], "Offset": each.range.start},
            "End": {"Line": end[0], "Column": end[1], "Offset": each.range.end},
        }
        data["Snippet"] = source.line(start[0])[:_LINE_MAX]
    return data
