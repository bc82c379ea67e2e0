"""pyhcl's tokens with exact places, strings and heredocs read from the text itself.

Theory: pyhcl's lexer forgets where a string began and what its escapes were; both are in the text between
two tokens. Where our reading of a string's extent differs from the lexer's, the lexer has lost its way
(`"a\\\\"` is such a case) and the text is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from daemon.jobspec.hcl.scan import scan
from daemon.jobspec.source import Range, Source

Refuse = Callable[[str, Range, str], Any]

_GAP = re.compile(r"(?:[ \t\r\f\v\n]+|#[^\n]*|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_HEREDOC = re.compile(r"<<(-?)(\S+?)(\r?)\n")
_ROOT = re.compile(r"\$\{\s*(var|local)\.")


@dataclass(frozen=True, slots=True)
class Token:
    """A token: pyhcl's type, the value as read here, its place."""

    type: str
    value: Any
    range: Range

    @property
    def text(self) -> str:
        """The value as a name."""
        return str(self.value)


def tokens(source: Source, refuse: Refuse) -> list[Token]:
    """All tokens and an END."""
    from hcl.lexer import Lexer

    lexer = Lexer()
    lexer.input(source.text)
    result: list[Token] = []
    end = 0
    while (token := lexer.token()) is not None:
        gap = _GAP.match(source.text, end)
        assert gap is not None
        start, end = gap.end(), lexer.lex.lexpos
        place = source.range(start, end)
        value = token.value
        if token.type == "STRING":
            value, place = _string(source, start, end, refuse)
            end = place.end
        elif token.type in ("NUMBER", "FLOAT") and isinstance(value, float):
            value = int(value) if value.is_integer() and abs(value) < 1e15 else value
        result.append(Token(token.type, value, place))
    result.append(Token("END", None, source.range(len(source.text), len(source.text))))
    return result


def _string(source: Source, start: int, end: int, refuse: Refuse) -> tuple[str, Range]:
    if source.text.startswith("<<", start):
        return _heredoc(source, start, end, refuse)
    place = source.range(start, end)
    if _string_end(source.text, start) != end:
        refuse("pyhcl misreads the end of this string", place, "avoid a backslash before the closing quote")
    raw = source.text[start + 1 : end - 1]
    if "\n" in raw and "${" not in raw:
        refuse("a quoted string cannot span lines", source.range(start, start + 1), "use a heredoc (<<EOT)")
    for found in re.finditer(r"\\(.)", raw, re.DOTALL):
        if found.group(1) not in '"\\':
            at = start + 1 + found.start()
            summary = f"the escape {found.group()} is not kept by the classic dialect's reader"
            refuse(summary, source.range(at, at + 2), "use a heredoc (<<EOT), or the current dialect")
    _check_roots(source, start, raw, refuse)
    return re.sub(r"\\(.)", r"\1", raw), place


def _check_roots(source: Source, start: int, raw: str, refuse: Refuse) -> None:
    found = _ROOT.search(raw)
    if found is not None:
        at = start + source.text[start:].index(found.group())
        summary = "variables and locals need the current dialect (HCL2)"
        refuse(summary, source.range(at, at + len(found.group())), "")


def _string_end(text: str, start: int) -> int:
    at = start + 1
    while at < len(text):
        char = text[at]
        if char == "\\":
            at += 2
        elif char == '"':
            return at + 1
        elif text.startswith("${", at):
            found = scan(text[at + 2 :], until_close=True)
            if found.trouble != "ok":
                return -1
            at += 2 + found.offset
        else:
            at += 1
    return -1


def _heredoc(source: Source, start: int, end: int, refuse: Refuse) -> tuple[str, Range]:
    text = source.text
    found = _HEREDOC.match(text, start)
    place = source.range(start, text.index("\n", start))
    if found is None or not re.fullmatch(r"[A-Za-z_][\w.-]*", found.group(2)):
        refuse("the marker of a heredoc is a plain word", place, "")
    assert found is not None
    if found.group(1):
        refuse("<<- is not read correctly in the classic dialect", place, "use << with unindented text")
    marker = found.group(2)
    body = found.end()
    closing = re.compile(rf"^{re.escape(marker)}\r?$", re.MULTILINE).search(text, body)
    if closing is None or end not in (closing.end(), closing.start() + len(marker)):
        at = source.range(text.rfind("\n", 0, max(end, body)) + 1, end)
        summary = f'a line that only ends with "{marker}" would close this heredoc too early'
        refuse(summary, at, "choose another marker")
    assert closing is not None
    _check_roots(source, start, text[body : closing.start()], refuse)
    return text[body : closing.start()], source.range(start, closing.end())
