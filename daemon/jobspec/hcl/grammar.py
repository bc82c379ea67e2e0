"""python-hcl2 as a tree parser, with its grammar cache where the user can write.

Theory: building the LALR tables takes over a second; lark keeps them in a cache file, which python-hcl2
puts beside its own code. That folder may be read-only, so the file is moved to the user's cache folder.
The file is a pickle that lark itself reads; it is used only from a folder that nobody else can write.
Where no such folder can be had, the tables are built once a process.

Source: python-hcl2 8.1.4, `hcl2/parser.py` (PARSER_FILE) and `hcl2/api.py`.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Any

from daemon.jobspec.diagnostics import Diagnostic, DiagnosticError, error
from daemon.jobspec.hcl.scan import DEPTH_MAX, scan
from daemon.jobspec.source import Source


class SyntaxFault(DiagnosticError):
    """The text does not follow HCL2's grammar; it may be of another dialect."""


_lock = threading.Lock()
_prepared = False


def cache_file() -> str:
    """Path of the grammar cache, or "" when there is no safe place for one."""
    base = os.environ.get("XDG_CACHE_HOME") or ""
    home = os.environ.get("HOME") or ""
    root = Path(base) if base.startswith("/") else Path(home) / ".cache" if home.startswith("/") else None
    if root is None:
        return ""
    folder = root / "encamp"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError:
        return ""
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return ""
    if not os.access(folder, os.W_OK):
        return ""
    name = f"hcl2-{version('python-hcl2')}-lark-{version('lark')}-{sys.implementation.cache_tag}.bin"
    return str(folder / name)


def _tree(text: str) -> Any:
    global _prepared
    import hcl2.parser
    from hcl2.api import parses_to_tree

    with _lock:
        if not _prepared:
            # an empty name means no cache.
            vars(hcl2.parser)["PARSER_FILE"] = cache_file()
            _prepared = True
        return parses_to_tree(text)


def parse_tree(source: Source, text: str, shift: int = 0) -> Any:
    """The lark tree of `text`; offset n of the text is offset n + shift of the source.

    Raises: SyntaxFault with one error.
    """
    from lark.exceptions import LarkError, UnexpectedInput

    heredocs: list[tuple[int, int]] = []
    found = scan(text, heredocs=heredocs)
    if found.trouble == "deep":
        place = source.range(found.offset + shift, found.offset + shift + 1)
        raise SyntaxFault(error(f"nested more than {DEPTH_MAX} deep", place))
    try:
        return _tree(_tidy_markers(text, heredocs))
    except UnexpectedInput as failure:
        at = getattr(failure, "pos_in_stream", None)
        token = getattr(failure, "token", None)
        if at is None or (token is not None and token.type == "$END"):
            at = len(text)
        raise SyntaxFault(_explain(source, text, at, shift)) from None
    except (LarkError, RecursionError) as failure:
        raise SyntaxFault(error("cannot be read", source.range(shift, shift + 1))) from failure


def _tidy_markers(text: str, heredocs: list[tuple[int, int]]) -> str:
    """Move blanks after a heredoc's closing marker before it: HCL allows them, python-hcl2 does not."""
    for start, end in heredocs:
        line = text[start:end]
        if line.rstrip("\r") != line.rstrip():
            kept = line[len(line.rstrip("\r")) :]
            blanks = line.rstrip("\r")[len(line.rstrip()) :]
            text = text[:start] + blanks + line.rstrip() + kept + text[end:]
    return text


_OPEN = {
    "open": "this {what} is never closed",
    "string": "this string has no closing quote on its line",
    "comment": "this comment is never closed",
    "heredoc": 'this heredoc has no line that consists of "{what}" alone',
}
_ADVICE = {
    "open": "add the missing closing bracket",
    "string": 'close it with ", or use a heredoc (<<EOT) for text of several lines',
    "comment": "close it with */",
    "heredoc": "the closing marker stands on a line of its own, with nothing after it",
}


def _explain(source: Source, text: str, at: int, shift: int) -> Diagnostic:
    found = scan(text)
    trouble = found.trouble
    if trouble in _OPEN and (found.offset <= at or at >= len(text)):
        place = source.range(found.offset + shift, found.offset + shift + 1)
        return error(_OPEN[trouble].format(what=found.what), place, suggestion=_ADVICE[trouble])
    if at >= len(text.rstrip()):
        end = len(text.rstrip()) + shift
        return error("the file ends in the middle of something", source.range(max(0, end - 1), end))
    unfinished = _unfinished_line(text, at)
    if unfinished is not None:
        start, end = unfinished
        advice = "an attribute is written name = value, a block name { ... }"
        place = source.range(start + shift, end + shift)
        return error(
            "this line is neither an attribute nor the beginning of a block", place, suggestion=advice
        )
    word = re.compile(r"[\w.-]+|\s*\n|.", re.DOTALL).match(text, at)
    seen = word.group() if word else ""
    place = source.range(at + shift, at + shift + max(1, len(seen.strip())))
    before = text[:at].rstrip(" \t")
    if not seen.strip():
        return error("the line ends too early: a value or a closing bracket is missing", place)
    return error(f"unexpected {seen.strip()!r}", place, suggestion=_hint(before, seen))


_HEADLESS = re.compile(r'[ \t]*((?!})[\w-]+(?:[ \t]+(?:"[^"\n]*"|[\w-]+))*)[ \t]*\Z')


def _unfinished_line(text: str, at: int) -> tuple[int, int] | None:
    """The place of a line before the error that consists of words alone: `type "batch"`."""
    before = text[:at].rstrip()
    if "\n" not in text[len(before) : at]:
        return None
    start = before.rfind("\n") + 1
    found = _HEADLESS.match(before[start:])
    return (start + found.start(1), start + found.end(1)) if found else None


def _hint(before: str, seen: str) -> str:
    if seen.startswith("."):
        return "a number begins with a digit"
    if seen in ("'", "`"):
        return 'strings are written with "'
    if before.endswith("=") and seen == "=":
        return "an attribute is set with one ="
    line = before.rsplit("\n", 1)[-1]
    if re.fullmatch(r"\s*[\w-]+", line) and re.match(r'["\w\[]', seen):
        return "an attribute is written name = value, a block name { ... }"
    if seen == "," and not line.strip().startswith(("[", "{")):
        return "attributes of a block stand on lines of their own, without a comma"
    return ""
