"""`encamp alloc logs`: the output of one task."""

from __future__ import annotations

import sys
from functools import partial

import click

from daemon.cli import alloc_choice, complete
from daemon.cli.console import write_raw
from daemon.cli.framework import command, option
from daemon.cli.logpump import Source, pump, read_all, read_tail
from daemon.cli.session import Session
from daemon.cli.with_session import with_session
from daemon.model.errors import InvalidInput
from daemon.rpc.methods import FS_LOGS

TAIL_LINES = 10


@command("logs", example="encamp alloc logs -f 8a1f\nencamp logs -stderr -n 50 -job web -task server")
@click.argument("alloc", required=False, shell_complete=complete.allocs)
@click.argument("task_argument", required=False, metavar="[TASK]")
@option(
    "-f",
    "follow",
    is_flag=True,
    help="Go on with what is written from now on; both outputs unless one is named.",
)
@option("-stdout", "stdout", is_flag=True, help="Standard output, which is the default.")
@option("-stderr", "stderr", is_flag=True, help="Standard error.")
@option("-tail", "tail", is_flag=True, help="Only the end: the last 10 lines, or -n, or -c.")
@option("-n", "lines", type=click.IntRange(min=0), default=None, help="The last so many lines.")
@option("-c", "count_bytes", type=click.IntRange(min=0), default=None, help="The last so many bytes.")
@option(
    "-job",
    "job",
    default="",
    metavar="JOB",
    help="Take an allocation of this job.",
    shell_complete=complete.jobs,
)
@option("-group", "group", default="", help="With -job: of this group.")
@option("-task", "task", default="", help="Which task, where there are several.")
@with_session
def logs(
    session: Session,
    alloc: str | None,
    task_argument: str | None,
    follow: bool,
    stdout: bool,
    stderr: bool,
    tail: bool,
    lines: int | None,
    count_bytes: int | None,
    job: str,
    group: str,
    task: str,
) -> None:
    """Show the output of a task as it was written, byte for byte."""
    if stdout and stderr:
        raise InvalidInput("-stdout and -stderr exclude each other; -f alone follows both")
    if lines is not None and count_bytes is not None:
        raise InvalidInput("-n and -c exclude each other")
    if job and alloc:
        # With -job the first argument is the task.
        task_argument, alloc = alloc, None
    chosen, spec = alloc_choice.choose(
        session, job or alloc, job=bool(job), group=group, task=task or task_argument or ""
    )
    name = alloc_choice.choose_task(chosen, spec, task or task_argument or "")
    at = {"id": chosen.id, "namespace": chosen.namespace, "task": name}
    if tail and lines is None and count_bytes is None:
        lines = TAIL_LINES
    kinds = ["stderr"] if stderr else ["stdout", "stderr"] if follow and not stdout else ["stdout"]
    if follow:
        _follow(session, at, kinds, lines, count_bytes)
        return
    for kind in kinds:
        _print(session, {**at, "type": kind}, lines, count_bytes)


def _print(session: Session, at: dict[str, str], lines: int | None, count_bytes: int | None) -> None:
    if lines is not None:
        session.console.write_bytes(read_tail(session, FS_LOGS, lines, **at))
    elif count_bytes is not None:
        session.console.write_bytes(read_all(session, FS_LOGS, offset=count_bytes, origin="end", **at))
    else:
        with session.stream(FS_LOGS, **at) as stream:
            while (data := stream.recv()) is not None:
                session.console.write_bytes(data)


def _follow(
    session: Session, at: dict[str, str], kinds: list[str], lines: int | None, count_bytes: int | None
) -> None:
    sources: list[Source] = []
    try:
        for kind in kinds:
            sources.append(follow_source(session, {**at, "type": kind}, lines, count_bytes))
            sources[-1].show = partial(
                write_raw, sys.stderr if kind == "stderr" and len(kinds) > 1 else sys.stdout
            )
        pump(sources)
    finally:
        for source in sources:
            source.stream.__exit__(None, None, None)


def follow_source(
    session: Session, at: dict[str, str], lines: int | None, count_bytes: int | None = None
) -> Source:
    """A followed log from its beginning, its last bytes or its last lines."""
    if lines is not None:
        window = max(64 * 1024, lines * 1024)
        stream = session.stream(FS_LOGS, follow=True, offset=window, origin="end", **at)
        return Source(stream, show=lambda data: None, tail=lines, window=window)
    if count_bytes is not None:
        stream = session.stream(FS_LOGS, follow=True, offset=count_bytes, origin="end", **at)
    else:
        stream = session.stream(FS_LOGS, follow=True, **at)
    return Source(stream, show=lambda data: None)
