"""Reading a job file for run, plan and validate: from a path or stdin, with variables, and its findings shown.

This is the one place in the command line that knows the job-file reader; it is imported when a file is read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from daemon.cli.console import Console
from daemon.cli.framework import option
from daemon.cli.settings import Settings
from daemon.cli.text import many
from daemon.model.errors import EncampError, InvalidInput
from daemon.model.job import Job, JobSource

if TYPE_CHECKING:
    from daemon.jobspec.parse import ParseResult

#: more than anybody writes by hand; a wrong file is refused before it is parsed.
FILE_BYTES_MAX = 4 * 1024 * 1024


class BadJobFile(EncampError):
    """The file was read and refused; its findings have been shown."""

    code = "invalid"


def file_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options of commands that read a job file."""
    for wrap in (
        option("-hcl1", "hcl1", is_flag=True, help="Read the classic dialect only."),
        option("-json", "json_input", is_flag=True, help="The file is JSON."),
        option(
            "-var-file", "var_files", multiple=True, metavar="FILE", help="Values of variables; repeatable."
        ),
        option(
            "-var", "variables", multiple=True, metavar="NAME=VALUE", help="A variable's value; repeatable."
        ),
        click.argument("file", metavar="FILE", shell_complete=_complete_file),
    ):
        function = wrap(function)
    return function


def _complete_file(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def read_file(file: str) -> tuple[str, bytes]:
    """(name, content) of a job file; `-` is stdin.

    Raises: InvalidInput for what can be no job file; OSError.
    """
    if file == "-":
        return "<stdin>", sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
    if file.startswith(("http://", "https://")):
        raise InvalidInput(f"{file}: a URL is not read; use `curl -fsS {file} | encamp job run -`")
    path = Path(file)
    if path.is_dir():
        raise InvalidInput(f"{file} is a directory; give a job file")
    with path.open("rb") as opened:
        return file, opened.read(FILE_BYTES_MAX + 1)


def assignment(text: str) -> tuple[str, str]:
    """`NAME=VALUE` in two.

    Raises: InvalidInput.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise InvalidInput(f"-var {text!r}: write it as NAME=VALUE")
    return name.strip(), value


def parse(
    file: str, variables: Sequence[str], var_files: Sequence[str], json_input: bool, hcl1: bool
) -> ParseResult:
    """Read and parse; nothing is printed.

    Raises: OSError; InvalidInput.
    """
    from daemon.jobspec.parse import parse_job

    name, data = read_file(file)
    return parse_job(
        data,
        filename=name,
        variables=dict(assignment(each) for each in variables),
        var_files=[(each, Path(each).read_text()) for each in var_files],
        environment=dict(os.environ),
        json=json_input,
        hcl1=hcl1,
    )


def load(
    console: Console,
    settings: Settings,
    *,
    file: str,
    variables: Sequence[str],
    var_files: Sequence[str],
    json_input: bool,
    hcl1: bool,
) -> tuple[Job, JobSource]:
    """The job of a file, in the region and namespace of the flags; warnings are shown.

    Raises: BadJobFile after the errors were shown.
    """
    result = parse(file, variables, var_files, json_input, hcl1)
    if result.diagnostics:
        show(console, result)
    if result.job is None or any(each.is_error for each in result.diagnostics):
        count = sum(each.is_error for each in result.diagnostics)
        raise BadJobFile(f"{file} was refused: {many(count, 'error')}; nothing was submitted")
    return placed_by_flags(result.job, settings), result.source


def show(console: Console, result: ParseResult) -> None:
    """All findings, with their places, to stderr."""
    from daemon.jobspec.diagnostics import render

    console.note(render(result.diagnostics))


def placed_by_flags(job: Job, settings: Settings) -> Job:
    """-region and -namespace win over what the file says."""
    changes = {}
    if settings.region:
        changes["region"] = settings.region
    if settings.namespace and settings.namespace != "*":
        changes["namespace"] = settings.namespace
    return msgspec.structs.replace(job, **changes) if changes else job
