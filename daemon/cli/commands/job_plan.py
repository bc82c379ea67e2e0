"""`encamp job plan`."""

from __future__ import annotations

import os
import shlex
from typing import Any

import click

from daemon.cli import connect, job_file
from daemon.cli.console import Console
from daemon.cli.framework import command, option, settings_of, verbose_option
from daemon.cli.views import plan as view
from daemon.model.base import to_json
from daemon.rpc.methods import JOB_PLAN

PLAN_S = 60.0
CHANGES = 1
FAILED = 255


@command("plan", example="encamp job plan web.hcl", error_code=FAILED)
@job_file.file_options
@option("-diff/-no-diff", "diff", default=True, help="Show what changes in the file.")
@option("-json-output", "json_output", is_flag=True, help="Print the answer as JSON.")
@verbose_option
@click.pass_context
def plan(ctx: click.Context, /, file: str, diff: bool, json_output: bool, verbose: bool, **given: Any) -> int:
    """Show what `job run` would change, and what would be placed or not, without doing it.

    Exits 0 when no allocation would change, 1 when some would be created, destroyed or moved, 255 on an error.
    """
    settings = settings_of(ctx)
    settings.merge_environment(os.environ)
    console = Console(settings.color)
    job, _ = job_file.load(console, settings, file=file, **given)
    with connect.session(settings, console) as session:
        answer = session.call(JOB_PLAN, job=job, diff=True, namespace=job.namespace, timeout_s=PLAN_S)
    if json_output:
        console.json(to_json(answer, indent=2))
    else:
        for warning in answer.warnings:
            console.warn(warning)
        shown = file if file == "-" else shlex.quote(file)
        console.lines(view.plan(answer, shown, verbose=verbose, color=console.color, with_diff=diff))
    return CHANGES if view.changes(answer.annotations) or answer.failed_tg_allocs else 0
