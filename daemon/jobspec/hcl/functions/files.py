"""Functions on paths and files. Relative paths start at the job file's folder."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from daemon.jobspec.hcl.functions.registry import function

_SIZE_MAX = 4_000_000


def _path(text: str, folder: str) -> Path:
    return Path(folder, os.path.expanduser(text))


def _read(text: str, folder: str) -> bytes:
    path = _path(text, folder)
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    with path.open("rb") as file:
        data = file.read(_SIZE_MAX + 1)
    if len(data) > _SIZE_MAX:
        raise ValueError(f"{path} is larger than {_SIZE_MAX} bytes")
    return data


@function("abspath", "string", reads_files=True)
def abspath(text: str, *, folder: str) -> str:
    """The absolute path."""
    return os.path.abspath(_path(text, folder))


@function("basename", "string", reads_files=True)
def basename(text: str, *, folder: str) -> str:
    """The last part."""
    return os.path.basename(text.rstrip("/")) or ("/" if text.startswith("/") else ".")


@function("dirname", "string", reads_files=True)
def dirname(text: str, *, folder: str) -> str:
    """Everything before the last part."""
    return os.path.dirname(text) or "."


@function("pathexpand", "string", reads_files=True)
def pathexpand(text: str, *, folder: str) -> str:
    """A leading `~` as the home folder."""
    return os.path.expanduser(text)


@function("file", "string", reads_files=True)
def file(text: str, *, folder: str) -> str:
    """Text of a file."""
    try:
        return _read(text, folder).decode()
    except UnicodeDecodeError:
        raise ValueError(f"{text} is not UTF-8 text; use filebase64") from None


@function("filebase64", "string", reads_files=True)
def filebase64(text: str, *, folder: str) -> str:
    """Content of a file in base64."""
    return base64.b64encode(_read(text, folder)).decode()


@function("fileexists", "string", reads_files=True)
def fileexists(text: str, *, folder: str) -> bool:
    """Whether it is there."""
    return _path(text, folder).is_file()


@function("fileset", "string", "string", reads_files=True)
def fileset(base: str, pattern: str, *, folder: str) -> list[str]:
    """Files below a folder that fit a pattern."""
    if pattern.startswith("/") or ".." in pattern.split("/"):
        raise ValueError("the pattern must stay inside the folder")
    root = _path(base, folder)
    found = (path for path in root.glob(pattern) if path.is_file())
    return sorted(str(path.relative_to(root)) for path in found)
