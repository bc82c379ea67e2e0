"""Text of any dialect to one evaluated `Body`.

Theory: JSON is known by its first character. Other text is HCL2; if that does not parse, the classic
dialect is tried, and if both fail, HCL2's error is shown (with the classic reader's reason, when that
dialect accepts the text but would misread it). Size, encoding and control characters are checked first,
so that a binary or huge file costs nothing.

Source: spec/jobfile-parsing.md 4.5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from daemon.jobspec.body import Attribute, Body, Value
from daemon.jobspec.diagnostics import Diagnostic, DiagnosticError, error
from daemon.jobspec.source import Source

if TYPE_CHECKING:
    from daemon.jobspec.hcl.nodes import RawBody

#: Nomad keeps sources up to 1 MB; beyond this no file was written by hand.
SIZE_MAX_BYTES = 2 * 1024 * 1024
#: control characters other than white space, and lone surrogates.
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1f\ud800-\udfff]")


@dataclass(slots=True)
class Document:
    """What was read. `format` is hcl2, hcl1 or json; `is_api`: the HTTP API's JSON form."""

    source: Source
    format: str = "hcl2"
    body: Body | None = None
    is_api: bool = False
    found: list[Diagnostic] = field(default_factory=list)


def decode_text(data: str | bytes, name: str) -> tuple[Source, list[Diagnostic]]:
    """The text of a file, and an error if it is none."""
    if isinstance(data, bytes):
        if len(data) > SIZE_MAX_BYTES:
            return _refused(name, f"the file has {len(data)} bytes, more than {SIZE_MAX_BYTES}")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as failure:
            head = data[: failure.start].decode("utf-8")
            source = Source(name, head + "\ufffd")
            place = source.range(len(head), len(head) + 1)
            return source, [error(f"this is not text: byte 0x{data[failure.start]:02x} is not UTF-8", place)]
    else:
        text = data
        if len(text) > SIZE_MAX_BYTES:
            return _refused(name, f"the file has {len(text)} characters, more than {SIZE_MAX_BYTES}")
    source = Source(name, text.removeprefix("\ufeff"))
    wrong = _NO_TEXT.search(source.text)
    if wrong is None:
        return source, []
    if wrong.group() >= "\ud800":
        return _refused(name, "this is not text: it holds half of a surrogate pair")
    what = f"this is not text: it holds the control character 0x{ord(wrong.group()):02x}"
    return source, [error(what, source.range(wrong.start(), wrong.end()))]


def _refused(name: str, summary: str) -> tuple[Source, list[Diagnostic]]:
    source = Source(name, "")
    return source, [error(summary, source.whole())]


def is_json(text: str) -> bool:
    """Whether a text is JSON rather than HCL, by its first character."""
    return text.lstrip()[:1] == "{"


def read_plain(source: Source) -> Document:
    """A text without variables (agent configuration) in any dialect."""
    from daemon.jobspec.hcl.evaluate import Scope
    from daemon.jobspec.hcl.expand import Expander
    from daemon.jobspec.jsontext import read_json

    document = Document(source)
    try:
        if is_json(source.text):
            document.format = "json"
            value = read_json(source)
            document.body = body_of_json(value)
            return document
        raw = read_hcl(source, document)
        if raw is not None:
            expander = Expander()
            document.body = expander.body(raw, Scope(runtime=False))
            document.found += expander.found
    except DiagnosticError as failure:
        document.found += failure.diagnostics
    return document


def body_of_json(value: Value) -> Body:
    """A JSON object as a loose body."""
    body = Body(value.range, loose=True)
    for key, inner in value.data.items():
        body.attributes.append(Attribute(key, value.keys[key], inner))
    return body


def read_hcl(source: Source, document: Document) -> RawBody | None:
    """The raw body of HCL2; or None, with `document.body` read as the classic dialect.

    Raises: DiagnosticError when neither dialect accepts the text.
    """
    from daemon.jobspec.hcl.build import read_body
    from daemon.jobspec.hcl.grammar import SyntaxFault

    try:
        raw = read_body(source)
        document.found += raw.found
        return raw
    except SyntaxFault as modern:
        from daemon.jobspec.hcl.classic import ClassicRefused, ClassicSyntaxError, read_classic

        try:
            document.body = read_classic(source, forced=False)
        except ClassicRefused as refused:
            reason = refused.diagnostics[0]
            note = f"as the classic dialect it cannot be read either: {reason.summary}"
            also = error(note, reason.range, suggestion=reason.suggestion)
            raise DiagnosticError(*modern.diagnostics, also) from None
        except ClassicSyntaxError:
            raise modern from None
        document.format = "hcl1"
        return None


def read_classic_document(source: Source) -> Document:
    """A text that the user says is of the classic dialect."""
    from daemon.jobspec.hcl.classic import read_classic

    document = Document(source, format="hcl1")
    try:
        document.body = read_classic(source, forced=True)
    except DiagnosticError as failure:
        document.found += failure.diagnostics
    return document
