"""Which files a list of paths stands for.

Theory: a folder gives its *.hcl and *.json in order of name; what editors leave behind is passed over.
"""

from __future__ import annotations

from pathlib import Path

from daemon.jobspec.diagnostics import Diagnostic, error

_SUFFIXES = (".hcl", ".json")


def _is_leftover(name: str) -> bool:
    return name.startswith((".", "#")) or name.endswith(("~", ".swp", "#"))


def collect(paths: list[Path]) -> tuple[list[tuple[str, bytes]], list[Diagnostic]]:
    """(name, content) of all files in order, and what could not be read."""
    found: list[Diagnostic] = []
    files: list[tuple[str, bytes]] = []
    for path in paths:
        try:
            members = [path]
            if path.is_dir():
                entries = sorted(path.iterdir(), key=lambda each: each.name)
                members = [
                    e for e in entries if e.suffix in _SUFFIXES and not _is_leftover(e.name) and e.is_file()
                ]
                if not members:
                    found.append(error(f"the folder {path} holds no *.hcl or *.json file", None))
            files += [(str(member), member.read_bytes()) for member in members]
        except OSError as failure:
            where = failure.filename or path
            found.append(error(f"cannot read {where}: {failure.strerror or failure}", None))
    return files, found
