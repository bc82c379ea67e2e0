"""Job files in `cases/`, and the golden files beside them.

A good case `NAME.*` has `NAME.expected.json`: its Job without what equals a default, and its warnings. A bad
one has `NAME.expected.txt`: the messages as a terminal shows them. `ENCAMP_REWRITE=1` writes them anew; the
change is then reviewed as a diff. A first line `# test: ...` gives `-var`, `env NAME=VALUE` and `hcl1`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec

from daemon.jobspec.diagnostics import render
from daemon.jobspec.parse import ParseResult, parse_job

CASES = Path(__file__).parent / "cases"
REWRITE = os.environ.get("ENCAMP_REWRITE") == "1"


def case_files(kind: str) -> list[Path]:
    """Job files of a kind."""
    return sorted(
        path for path in (CASES / kind).iterdir() if ".expected." not in path.name and path.suffix != ".txt"
    )


def stem(path: Path) -> str:
    return path.name.split(".")[0]


def parse_case(path: Path) -> ParseResult:
    data = path.read_bytes()
    words = []
    first = data.split(b"\n", 1)[0].decode(errors="replace").strip()
    if first.startswith("# test:"):
        words = first.removeprefix("# test:").split()
    variables: dict[str, str] = {}
    environment: dict[str, str] = {}
    for at, word in enumerate(words):
        if "=" in word:
            key, _, value = word.partition("=")
            (variables if words[at - 1] == "-var" else environment)[key] = value
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        return parse_job(
            data, filename=path.name, variables=variables, environment=environment, hcl1="hcl1" in words
        )
    finally:
        os.chdir(here)


def compact(value: Any) -> Any:
    """Plain data of a struct without fields that equal their default."""
    if isinstance(value, msgspec.Struct):
        plain = {}
        for info in msgspec.structs.fields(value):
            held = getattr(value, info.name)
            if info.default is not msgspec.NODEFAULT and held == info.default:
                continue
            if info.default_factory is not msgspec.NODEFAULT and held == info.default_factory():
                continue
            plain[info.name] = compact(held)
        return plain
    if isinstance(value, dict):
        return {key: compact(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [compact(each) for each in value]
    return value


def outcome(result: ParseResult) -> str:
    """What a golden file of a good case holds."""
    data = {
        "format": result.source.format,
        "job": compact(result.job),
        "warnings": [str(each) for each in result.warnings],
    }
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def check_golden(path: Path, text: str) -> None:
    if REWRITE:
        path.write_text(text)
    assert path.exists(), f"{path} is missing: run with ENCAMP_REWRITE=1 and review it"
    assert text == path.read_text()


def messages(result: ParseResult) -> str:
    """What a golden file of a bad case holds."""
    return render(result.diagnostics)
