"""Templates: pieces of text, interpolations and directives put together; heredocs read. Pure.

Theory: a quoted string comes from the grammar as flat pieces, a heredoc as one raw token. Both end here as
the same list of `Piece`s, from which `assemble` builds the nested form. A heredoc's pieces are cut at line
ends, because two rules need that: `<<-` takes the common indentation off every line's beginning, and a
strip marker (`~`) eats the white space of one piece only.

Source: HCL's syntax specification, template expressions; the white-space rules as Go's implementation
has them (blank lines do not count for the indentation, a tab counts as one character).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from daemon.jobspec.diagnostics import DiagnosticError, error
from daemon.jobspec.hcl.nodes import Literal, Name, Node, Template, TemplateFor, TemplateIf
from daemon.jobspec.hcl.scan import DEPTH_MAX, scan
from daemon.jobspec.source import Range, Source

#: reads an expression between two offsets of the source.
ReadExpression = Callable[[int, int], Node]


@dataclass(slots=True)
class Piece:
    """One flat piece. `kind`: text, interp, if, else, endif, for, endfor."""

    kind: str
    range: Range
    text: str = ""
    node: Node | None = None
    names: tuple[str, ...] = ()
    strip_left: bool = False
    strip_right: bool = False


_ESCAPE = re.compile(r'\\(n|r|t|"|\\|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.?)', re.DOTALL)
_SIMPLE = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}


def unescape(text: str, source: Source, start: int) -> str:
    """Decode the escapes of a quoted string.

    Raises: DiagnosticError at an unknown escape, or a raw line end.
    """
    newline = text.find("\n")
    if newline >= 0:
        place = source.range(start + newline, start + newline + 1)
        advice = "use \\n, or a heredoc (<<EOT)"
        raise DiagnosticError(error("a quoted string cannot span lines", place, suggestion=advice))

    def decode(found: re.Match[str]) -> str:
        code = found.group(1)
        if code in _SIMPLE:
            return _SIMPLE[code]
        value = int(code[1:], 16) if code[:1] in ("u", "U") and len(code) > 1 else -1
        if 0 <= value < 0x110000 and not 0xD800 <= value < 0xE000:
            return chr(value)
        place = source.range(start + found.start(), start + found.end())
        advice = 'known escapes: \\n \\r \\t \\" \\\\ \\uNNNN \\UNNNNNNNN; a backslash itself is \\\\'
        raise DiagnosticError(error(f"unknown escape {found.group()}", place, suggestion=advice))

    return _ESCAPE.sub(decode, text) if "\\" in text else text


def assemble(pieces: list[Piece], whole: Range) -> Node:
    """Nest the directives and apply strip markers; text alone becomes a literal, `${x}` alone is x."""
    _strip(pieces)
    parts, rest = _assemble(pieces, 0, (), whole, 0)
    assert rest == len(pieces)
    merged: list[str | Node] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        elif part != "":
            merged.append(part)
    if not merged:
        return Literal(whole, "")
    if len(merged) == 1 and isinstance(merged[0], str):
        return Literal(whole, merged[0])
    return Template(whole, merged)


def _strip(pieces: list[Piece]) -> None:
    for at, piece in enumerate(pieces):
        if piece.kind == "text":
            continue
        if piece.strip_left and at and pieces[at - 1].kind == "text":
            pieces[at - 1].text = pieces[at - 1].text.rstrip()
        if piece.strip_right and at + 1 < len(pieces) and pieces[at + 1].kind == "text":
            pieces[at + 1].text = pieces[at + 1].text.lstrip()


def _assemble(
    pieces: list[Piece], at: int, ends: tuple[str, ...], opened: Range, depth: int
) -> tuple[list[str | Node], int]:
    if depth > DEPTH_MAX:
        raise DiagnosticError(error("these directives are nested too deep", opened))
    parts: list[str | Node] = []
    while at < len(pieces):
        piece = pieces[at]
        if piece.kind in ends:
            return parts, at
        at += 1
        if piece.kind == "text":
            parts.append(piece.text)
        elif piece.kind == "interp":
            assert piece.node is not None
            parts.append(piece.node)
        elif piece.kind == "if":
            then, at = _assemble(pieces, at, ("else", "endif"), piece.range, depth + 1)
            otherwise: list[str | Node] = []
            if pieces[at].kind == "else":
                otherwise, at = _assemble(pieces, at + 1, ("endif",), piece.range, depth + 1)
            assert piece.node is not None
            parts.append(TemplateIf(piece.range.to(pieces[at].range), piece.node, then, otherwise))
            at += 1
        elif piece.kind == "for":
            body, at = _assemble(pieces, at, ("endfor",), piece.range, depth + 1)
            assert piece.node is not None
            parts.append(TemplateFor(piece.range.to(pieces[at].range), list(piece.names), piece.node, body))
            at += 1
        else:
            raise DiagnosticError(error(f"%{{ {piece.kind} }} without its beginning", piece.range))
    if ends:
        raise DiagnosticError(error(f"this directive has no %{{ {ends[-1]} }}", opened))
    return parts, at


_MARK = re.compile(r"\$\$\{|%%\{|\$\{|%\{|\n")
_DIRECTIVE = re.compile(r"\s*(if|else|endif|for|endfor)\b")
_FOR = re.compile(r"\s*([A-Za-z_][\w-]*)\s*(?:,\s*([A-Za-z_][\w-]*)\s*)?in\b")


def read_template(source: Source, start: int, end: int, read: ReadExpression) -> list[Piece]:
    """Pieces of raw template text (a heredoc's body, a JSON string): no backslash escapes.

    Raises: DiagnosticError.
    """
    text = source.text
    pieces: list[Piece] = []
    held, at, begin = "", start, start

    def flush(to: int) -> None:
        nonlocal held
        if held:
            pieces.append(Piece("text", source.range(begin, to), held))
        held = ""

    while at < end:
        found = _MARK.search(text, at, end)
        if found is None:
            held += text[at:end]
            break
        held += text[at : found.start()]
        mark = found.group()
        at = found.end()
        if mark == "\n":
            held += "\n"
            flush(at)
            begin = at
        elif mark in ("$${", "%%{"):
            held += mark[1:]
        else:
            flush(found.start())
            piece, at = _read_mark(source, found.start(), end, mark, read)
            pieces.append(piece)
            begin = at
    flush(end)
    return pieces


def _read_mark(source: Source, start: int, end: int, mark: str, read: ReadExpression) -> tuple[Piece, int]:
    text = source.text
    found = scan(text[start + 2 : end], until_close=True)
    if found.trouble != "ok":
        summary = "nested too deep" if found.trouble == "deep" else f"this {mark} is never closed"
        advice = f"a literal {mark} is written {mark[0]}{mark}"
        raise DiagnosticError(error(summary, source.range(start, start + 2), suggestion=advice))
    stop = start + 2 + found.offset
    inner, last = start + 2, stop - 1
    place = source.range(start, stop)
    left = text[inner : inner + 1] == "~"
    right = last > inner and text[last - 1] == "~"
    inner, last = inner + left, last - right
    if mark == "${":
        return Piece("interp", place, node=read(inner, last), strip_left=left, strip_right=right), stop
    word = _DIRECTIVE.match(text, inner, last)
    if word is None:
        advice = "known: if, else, endif, for, endfor; a literal %{ is written %%{"
        raise DiagnosticError(error("unknown template directive", place, suggestion=advice))
    piece = Piece(word.group(1), place, strip_left=left, strip_right=right)
    inner = word.end()
    if piece.kind == "for":
        names = _FOR.match(text, inner, last)
        if names is None:
            raise DiagnosticError(error("expected %{ for NAME in COLLECTION }", place))
        piece.names = tuple(name for name in names.groups() if name)
        inner = names.end()
    if piece.kind in ("if", "for"):
        piece.node = read(inner, last)
    elif text[inner:last].strip():
        raise DiagnosticError(error(f"nothing may follow {piece.kind}", place))
    return piece, stop


def read_heredoc(source: Source, start: int, end: int, read: ReadExpression) -> Node:
    """The value of a heredoc token: everything up to and with the line end before the marker's line."""
    text = source.text
    flush = text.startswith("<<-", start)
    first = text.index("\n", start) + 1
    stripped = text[start:end].rstrip()
    last = text.rfind("\n", start, start + len(stripped)) + 1
    pieces = read_template(source, first, max(first, last), read)
    if flush:
        _unindent(pieces)
    return assemble(pieces, source.range(start, start + len(stripped)))


def _unindent(pieces: list[Piece]) -> None:
    smallest: int | None = None
    touched: list[Piece] = []
    fresh = True
    for piece in pieces:
        if fresh:
            indent: int | None = 0
            if piece.kind == "text":
                trimmed = piece.text.lstrip()
                indent = len(piece.text) - len(trimmed)
                if not trimmed and piece.text.endswith("\n"):
                    indent = None
                else:
                    touched.append(piece)
            if indent is not None:
                smallest = indent if smallest is None else min(smallest, indent)
        fresh = piece.kind == "text" and piece.text.endswith("\n")
    for piece in touched:
        piece.text = piece.text[smallest or 0 :]


_PATH = re.compile(r"\s*([A-Za-z_][\w-]*)((?:\.[A-Za-z_][\w-]*)*)\s*\Z")


def simple_path(source: Source, start: int, end: int) -> Node | None:
    """`a.b.c` read without the grammar: nearly every interpolation is one."""
    from daemon.jobspec.hcl.nodes import GetAttr

    found = _PATH.match(source.text[start:end])
    if found is None or found.group(1) in ("true", "false", "null"):
        return None
    at = start + found.end(1)
    node: Node = Name(source.range(start + found.start(1), at), found.group(1))
    for name in found.group(2).split(".")[1:]:
        place = source.range(at + 1, at + 1 + len(name))
        at += 1 + len(name)
        node = GetAttr(source.range(node.range.start, at), node, name, place)
    return node
