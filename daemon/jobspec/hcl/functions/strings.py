"""Functions on strings. Pure."""

from __future__ import annotations

import re
from typing import Any

from daemon.jobspec.hcl.convert import to_text
from daemon.jobspec.hcl.functions.registry import function


@function("chomp", "string")
def chomp(text: str) -> str:
    """Without line ends at the end."""
    return text.rstrip("\r\n")


@function("indent", "int", "string")
def indent(count: int, text: str) -> str:
    """Spaces before every line but the first."""
    if not 0 <= count <= 1000:
        raise ValueError("the indentation must lie from 0 to 1000")
    return text.replace("\n", "\n" + " " * count)


@function("join", "string", rest="list", least=2)
def join(separator: str, *lists: list[Any]) -> str:
    """Elements of lists as one text."""
    return separator.join(to_text(each) for items in lists for each in items)


@function("lower", "string")
def lower(text: str) -> str:
    """In small letters."""
    return text.lower()


@function("upper", "string")
def upper(text: str) -> str:
    """In capitals."""
    return text.upper()


@function("title", "string")
def title(text: str) -> str:
    """First letter of each word a capital."""
    return re.sub(r"(^|\s)(\S)", lambda found: found.group(1) + found.group(2).upper(), text)


@function("replace", "string", "string", "string")
def replace(text: str, old: str, new: str) -> str:
    """Every `old` replaced."""
    result = text.replace(old, new)
    if len(result) > 4_000_000:
        raise ValueError("the result is too long")
    return result


@function("regex_replace", "string", "string", "string")
def regex_replace(text: str, pattern: str, new: str) -> str:
    """Every match of an RE2 pattern replaced; `$1` and `${name}` stand for groups."""
    import re2

    try:
        options = re2.Options()
        options.log_errors = False
        compiled = re2.compile(pattern, options)
    except re2.error as failure:
        raise ValueError(f"bad pattern: {failure}") from None

    def expand(found: Any) -> str:
        def group(mark: re.Match[str]) -> str:
            name = mark.group(1) or mark.group(2)
            if name is None:
                return "$"
            try:
                return str(found.group(int(name) if name.isdigit() else name) or "")
            except (IndexError, KeyError):
                return ""

        return re.sub(r"\$(?:\{(\w+)\}|(\w+)|\$)", group, new)

    return str(compiled.sub(expand, text))


@function("split", "string", "string")
def split(separator: str, text: str) -> list[str]:
    """Pieces between separators."""
    return text.split(separator) if separator else list(text)


@function("strlen", "string")
def strlen(text: str) -> int:
    """Characters."""
    return len(text)


@function("strrev", "any")
def strrev(value: Any) -> Any:
    """Backwards; lists too, as Nomad does."""
    return value[::-1] if isinstance(value, list) else to_text(value)[::-1]


@function("substr", "string", "int", "int")
def substr(text: str, offset: int, length: int) -> str:
    """Piece of a text; a negative offset counts from the end, length -1 goes to the end."""
    start = offset if offset >= 0 else max(0, len(text) + offset)
    return text[start:] if length < 0 else text[start : start + length]


@function("trim", "string", "string")
def trim(text: str, cut: str) -> str:
    """Without these characters at both ends."""
    return text.strip(cut) if cut else text


@function("trimprefix", "string", "string")
def trimprefix(text: str, prefix: str) -> str:
    """Without that beginning."""
    return text.removeprefix(prefix)


@function("trimsuffix", "string", "string")
def trimsuffix(text: str, suffix: str) -> str:
    """Without that end."""
    return text.removesuffix(suffix)


@function("trimspace", "string")
def trimspace(text: str) -> str:
    """Without white space at both ends."""
    return text.strip()
