"""`encamp simulate`: what would be placed where, what would not fit, and what a loss would do."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from daemon.cli import connect, job_file
from daemon.cli.console import Console
from daemon.cli.framework import command, json_option, option, settings_of, verbose_option
from daemon.cli.settings import Settings
from daemon.cli.text import many
from daemon.model.base import to_json
from daemon.model.errors import InvalidInput

if TYPE_CHECKING:
    from daemon.model.job import Job
    from daemon.simulate.kinds import Kind
    from daemon.simulate.world import World

MISSING = 1
FAILED = 255
#: kinds of a live cluster's machines that are considered for adding.
KINDS_MAX = 8
#: more nodes than this are shown by rack or datacenter.
BARS_MAX = 32

_EXAMPLE = """\
encamp simulate -fleet fleet.hcl web.hcl redis.hcl
encamp simulate -lose meta.rack=r1"""


@command("simulate", example=_EXAMPLE, error_code=FAILED)
@click.argument("files", nargs=-1, metavar="[FILE]...")
@option(
    "-fleet", "fleet", metavar="FILE", help="Machines to place on; without it, the live cluster as it is."
)
@option(
    "-lose", "lose", multiple=True, metavar="WHAT", help="Lose a node (its name) or several (meta.rack=r1)."
)
@option("-by", "by", metavar="KEY", help="Draw one bar for each value of this: node, datacenter, meta.rack.")
@option("-seed", "seed", type=click.IntRange(min=0), default=0, help="Settles ties; 0 unless given.")
@option("-var", "variables", multiple=True, metavar="NAME=VALUE", help="A variable's value; repeatable.")
@option("-var-file", "var_files", multiple=True, metavar="FILE", help="Values of variables; repeatable.")
@verbose_option
@json_option
@click.pass_context
def simulate(
    ctx: click.Context,
    /,
    files: tuple[str, ...],
    fleet: str | None,
    lose: tuple[str, ...],
    by: str | None,
    seed: int,
    variables: tuple[str, ...],
    var_files: tuple[str, ...],
    verbose: bool,
    as_json: bool,
) -> int:
    """Show what would be placed where, what would not fit and why, and what losing machines would do.

    Nothing is submitted: the scheduler itself runs here, over a fleet file or over a copy of the live cluster. The
    same input and seed give the same answer.

    Exits 0 when everything has a node (after the loss, too), 1 when something has none, 255 on an error.
    """
    from daemon.cli.views import simulation as view
    from daemon.simulate.selection import target_of
    from daemon.simulate.simulate import simulate as run

    settings = settings_of(ctx)
    settings.merge_environment(os.environ)
    console = Console(settings.color)
    if not files and not lose:
        raise InvalidInput("there is nothing to simulate: give job files, -lose, or both")
    world, kinds = _from_file(console, fleet, seed) if fleet is not None else _live(console, settings, seed)
    jobs = _jobs(console, settings, files, variables, var_files)
    where = target_of(by) if by is not None else _by(world)
    report = run(world, jobs, lose=lose, kinds=kinds, by=where)
    if as_json:
        console.json(to_json(report, indent=2))
    else:
        blocks = _draws_blocks()
        console.lines(view.report(report, where, verbose=verbose, color=console.color, blocks=blocks))
    return 0 if report.fits else MISSING


def _from_file(console: Console, file: str, seed: int) -> tuple[World, list[Kind]]:
    from daemon.jobspec.diagnostics import render
    from daemon.simulate.fleet_file import read_fleet
    from daemon.simulate.world import World
    from daemon.state.state import State

    name, data = job_file.read_file(file)
    found = read_fleet(data, name)
    if found.diagnostics:
        console.note(render(found.diagnostics))
    if not found.kinds:
        errors = sum(each.is_error for each in found.diagnostics)
        raise job_file.BadJobFile(f"{file} was refused: {many(errors, 'error')}; nothing was simulated")
    world = World(State(), seed=seed)
    world.add_nodes(node for kind in found.kinds for node in kind.machines(0, kind.count))
    return world, list(found.kinds)


def _live(console: Console, settings: Settings, seed: int) -> tuple[World, list[Kind]]:
    from daemon.cli.live_cluster import read_cluster
    from daemon.simulate.kinds import kinds_of
    from daemon.simulate.world import World

    now_ns = time.time_ns()
    with connect.session(settings, console) as session:
        state = read_cluster(session, now_ns)
    return World(state, seed=seed, now_ns=now_ns), kinds_of(state.nodes(), KINDS_MAX)


def _jobs(
    console: Console,
    settings: Settings,
    files: tuple[str, ...],
    variables: tuple[str, ...],
    var_files: tuple[str, ...],
) -> list[Job]:
    """The jobs of all files; what is wrong with any of them is shown before one is simulated."""
    jobs: dict[tuple[str, str], tuple[Job, str]] = {}
    bad: list[str] = []
    for file in files:
        try:
            job, _ = job_file.load(
                console,
                settings,
                file=file,
                variables=variables,
                var_files=var_files,
                json_input=Path(file).suffix == ".json",
                hcl1=False,
            )
        except job_file.BadJobFile:
            bad.append(file)
            continue
        if job.key in jobs:
            raise InvalidInput(f"{file} and {jobs[job.key][1]} are both of job {job.id!r}; give one of them")
        jobs[job.key] = (job, file)
    if bad:
        raise job_file.BadJobFile(f"refused: {', '.join(bad)}; nothing was simulated")
    return [job for job, _ in jobs.values()]


def _by(world: World) -> str:
    """One bar a node while they fit on a screen; then by rack, if there are racks; then by datacenter."""
    nodes = list(world.state.nodes())
    if len(nodes) <= BARS_MAX:
        return "node"
    return "meta.rack" if any("rack" in node.meta for node in nodes) else "datacenter"


def _draws_blocks() -> bool:
    try:
        "█░".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
