"""`encamp job validate`: check a file without an agent."""

from __future__ import annotations

import os

import click

from daemon.cli import job_file
from daemon.cli.console import Console
from daemon.cli.framework import command, option, settings_of
from daemon.cli.text import many
from daemon.model.base import to_json


@command("validate", example="encamp job validate -var count=3 web.hcl")
@job_file.file_options
@option("-json-output", "json_output", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def validate(
    ctx: click.Context,
    file: str,
    variables: tuple[str, ...],
    var_files: tuple[str, ...],
    json_input: bool,
    hcl1: bool,
    json_output: bool,
) -> int:
    """Check a job file and show everything that is wrong with it, with line and column.

    It needs no agent. FILE may be `-` for stdin. Exits 0 when the file is good, 1 when it is not.
    """
    settings = settings_of(ctx)
    settings.merge_environment(os.environ)
    console = Console(settings.color)
    result = job_file.parse(file, variables, var_files, json_input, hcl1)
    good = result.job is not None and not any(each.is_error for each in result.diagnostics)
    if json_output:
        from daemon.jobspec.diagnostics import to_json as findings

        console.json(to_json({"Valid": good, "Diagnostics": findings(result.diagnostics)}, indent=2))
        return 0 if good else 1
    if result.diagnostics:
        job_file.show(console, result)
    if not good:
        count = sum(each.is_error for each in result.diagnostics)
        console.error(f"{file} is not valid: {many(count, 'error')}")
        return 1
    console.line("Job validation successful")
    return 0
