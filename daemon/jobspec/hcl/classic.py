"""The classic dialect (HCL 1) through pyhcl, with its misreadings refused.

Theory: pyhcl's parser judges the syntax; its lexer's tokens, walked here, give the places and keep apart
what its result runs together. Whatever pyhcl is known to read wrongly is refused at its line: expressions
(it ignores precedence and flattens to text), escapes it does not decode, `<<-` heredocs, a missing `{`,
names that begin with true or false. Nothing is guessed. One parser is reused (making its tables takes 25
ms), under a lock.

Source: spec/jobfile-parsing.md 4.3; pyhcl 0.4.5.
"""

from __future__ import annotations

import re
import threading
from typing import Any, NoReturn

from daemon.jobspec.body import Attribute, Block, Body, Value
from daemon.jobspec.diagnostics import DiagnosticError, error
from daemon.jobspec.hcl.classictokens import Token, tokens
from daemon.jobspec.hcl.scan import DEPTH_MAX
from daemon.jobspec.source import Range, Source

_lock = threading.Lock()
_parser: Any = None


class ClassicSyntaxError(DiagnosticError):
    """pyhcl itself does not accept the text: it is not of this dialect either."""


class ClassicRefused(DiagnosticError):
    """pyhcl accepts the text, but would read it wrongly."""


def read_classic(source: Source, *, forced: bool) -> Body:
    """The body of a text of the classic dialect.

    `forced`: the user says that it is; then our reasons come before pyhcl's.
    Raises: ClassicSyntaxError, ClassicRefused.
    """
    if not forced:
        _judge(source)
    try:
        body = _Walker(source).file()
    except ValueError as failure:
        raise ClassicSyntaxError(error(*_explain(source, str(failure)))) from None
    if forced:
        _judge(source)
    return body


def _judge(source: Source) -> None:
    global _parser
    from hcl.parser import HclParser

    with _lock:
        if _parser is None:
            _parser = HclParser()
        try:
            _parser.parse(source.text)
        except ValueError as failure:
            raise ClassicSyntaxError(error(*_explain(source, str(failure)))) from None
        except (AttributeError, TypeError, LookupError, ArithmeticError, RecursionError):
            # pyhcl stumbles over its own data when keys clash, and calculates as it goes.
            raise ClassicSyntaxError(error("cannot be read as the classic dialect", source.whole())) from None


def _explain(source: Source, message: str) -> tuple[str, Range]:
    found = re.match(r"Line \d+, column (\d+)(?:, index (\d+))?: (.*)", message, re.DOTALL)
    if found is None:
        return message.split(";")[0].lower() or "syntax error", source.range(
            len(source.text) - 1, len(source.text)
        )
    at = int(found.group(2) or found.group(1))
    summary = found.group(3).split(";")[0]
    return summary[:1].lower() + summary[1:], source.range(at, at + 1)


_EXPRESSION = "expressions need the current dialect (HCL2); in the classic one pyhcl would misread this"


class _Walker:
    """A descent over the tokens."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.tokens = tokens(source, self.refuse)
        self.at = 0

    def refuse(self, summary: str, place: Range, advice: str = "") -> NoReturn:
        """Raise ClassicRefused: pyhcl would misread this."""
        raise ClassicRefused(error(summary, place, suggestion=advice))

    def wrong(self, summary: str, place: Range, advice: str = "") -> NoReturn:
        """Raise ClassicSyntaxError: this is no text of the dialect."""
        raise ClassicSyntaxError(error(summary, place, suggestion=advice))

    def peek(self, ahead: int = 0) -> Token:
        """A coming token; after the last one an END."""
        return self.tokens[min(self.at + ahead, len(self.tokens) - 1)]

    def take(self) -> Token:
        """The next token."""
        token = self.peek()
        self.at += 1
        return token

    def file(self) -> Body:
        """The whole text."""
        body = Body(self.source.range(0, len(self.source.text)), loose=True)
        self.items(body, "END", 0)
        return body

    def items(self, body: Body, end: str, depth: int) -> None:
        """Attributes and blocks up to a closing token."""
        if depth > DEPTH_MAX:
            self.wrong(f"nested more than {DEPTH_MAX} deep", self.peek().range)
        while self.peek().type != end:
            if self.peek().type == "COMMA":
                self.take()
                continue
            self.item(body, depth)
        self.take()

    def item(self, body: Body, depth: int) -> None:
        """One attribute or block."""
        key = self.key()
        follower = self.peek()
        if follower.type == "EQUAL":
            self.take()
            value = self.value(depth)
            body.attributes.append(Attribute(key.text, key.range, value))
            return
        labels: list[tuple[str, Range]] = []
        line = key.range.line
        while self.peek().type in ("STRING", "IDENTIFIER"):
            if self.peek().range.line != line:
                self.wrong(
                    f'the block "{key.text}" has no {{ on its line', key.range, "write { after its labels"
                )
            label = self.take()
            labels.append((label.text, label.range))
        if self.peek().type != "LEFTBRACE":
            self.wrong(f"unexpected {self.peek().range.text!r}", self.peek().range)
        opened = self.take()
        inner = Body(key.range, loose=True)
        self.items(inner, "RIGHTBRACE", depth + 1)
        inner.range = opened.range.to(self.tokens[self.at - 1].range)
        body.blocks.append(Block(key.text, key.range, labels, inner))

    def key(self) -> Token:
        """The name of an attribute or block."""
        token = self.take()
        if (
            token.type == "BOOL"
            and self.peek().type == "IDENTIFIER"
            and self.peek().range.start == token.range.end
        ):
            summary = "names that begin with true or false are not read in the classic dialect"
            self.refuse(summary, token.range.to(self.peek().range))
        if token.type not in ("IDENTIFIER", "STRING"):
            self.wrong(f"a name is expected here, not {token.range.text!r}", token.range)
        return token

    def value(self, depth: int) -> Value:
        """What follows `=`."""
        if depth > DEPTH_MAX:
            self.wrong(f"nested more than {DEPTH_MAX} deep", self.peek().range)
        token = self.take()
        if token.type == "LEFTBRACKET":
            value = self.list(token, depth)
        elif token.type == "LEFTBRACE":
            value = self.object(token, depth)
        elif token.type in ("STRING", "NUMBER", "FLOAT", "BOOL"):
            value = Value(token.value, token.range)
        else:
            advice = "text is written in quotes" if token.type == "IDENTIFIER" else ""
            self.refuse(_EXPRESSION, token.range, advice)
        follower = self.peek()
        plain = follower.type in ("COMMA", "RIGHTBRACE", "RIGHTBRACKET", "END")
        if not plain and (
            follower.type not in ("IDENTIFIER", "STRING", "BOOL") or follower.range.start == token.range.end
        ):
            self.refuse(_EXPRESSION, token.range.to(follower.range))
        return value

    def list(self, opened: Token, depth: int) -> Value:
        """`[a, b]`."""
        items: list[Value] = []
        while self.peek().type != "RIGHTBRACKET":
            if items:
                if self.peek().type != "COMMA":
                    self.refuse("a comma is missing in this list", self.peek().range)
                self.take()
                if self.peek().type == "RIGHTBRACKET":
                    break
            items.append(self.value(depth + 1))
        closed = self.take()
        return Value(items, opened.range.to(closed.range))

    def object(self, opened: Token, depth: int) -> Value:
        """`{ a = 1 }` as a value."""
        body = Body(opened.range, loose=True)
        self.items(body, "RIGHTBRACE", depth + 1)
        data: dict[str, Value] = {}
        keys: dict[str, Range] = {}
        for attribute in body.attributes:
            if attribute.name in data:
                self.refuse(f'the key "{attribute.name}" is given twice', attribute.name_range)
            data[attribute.name], keys[attribute.name] = attribute.value, attribute.name_range
        if body.blocks:
            self.refuse("a block cannot stand inside a value", body.blocks[0].range)
        return Value(data, opened.range.to(self.tokens[self.at - 1].range), keys)
