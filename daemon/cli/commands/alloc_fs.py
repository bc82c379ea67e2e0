"""`encamp alloc fs`: the files of an allocation."""

from __future__ import annotations

from typing import Any

import click

from daemon.cli import alloc_choice, complete
from daemon.cli.commands.alloc_logs import TAIL_LINES
from daemon.cli.framework import command, json_option, option
from daemon.cli.logpump import Source, pump, read_tail
from daemon.cli.session import Session
from daemon.cli.text import iso, size, table
from daemon.cli.with_session import with_session
from daemon.model.base import to_json
from daemon.model.errors import InvalidInput
from daemon.rpc.messages import FileInfo
from daemon.rpc.methods import FS_LIST, FS_STAT, FS_STREAM


@command("fs", example="encamp alloc fs 8a1f\nencamp alloc fs -f 8a1f alloc/logs/server.stdout.0")
@click.argument("alloc", required=False, shell_complete=complete.allocs)
@click.argument("path", required=False, default="/")
@option("-stat", "stat", is_flag=True, help="Show what the path is instead of its content.")
@option("-H", "human", is_flag=True, help="Sizes in KiB, MiB, GiB.")
@option("-f", "follow", is_flag=True, help="Go on with what is written from now on.")
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
@json_option
@with_session
def fs(
    session: Session,
    alloc: str | None,
    path: str,
    stat: bool,
    human: bool,
    follow: bool,
    tail: bool,
    lines: int | None,
    count_bytes: int | None,
    job: str,
    as_json: bool,
) -> None:
    """List a directory of an allocation, or print a file. PATH begins at the allocation's directory."""
    if lines is not None and count_bytes is not None:
        raise InvalidInput("-n and -c exclude each other")
    if job and alloc:
        # With -job the first argument is the path.
        path, alloc = alloc, None
    chosen, _ = alloc_choice.choose(session, job or alloc, job=bool(job))
    at: dict[str, Any] = {"id": chosen.id, "namespace": chosen.namespace, "path": path}
    found = session.call(FS_STAT, **at).files
    if stat or not found or found[0].is_dir:
        listed = found if stat else session.call(FS_LIST, **at).files
        if as_json:
            session.console.json(to_json(listed, indent=2))
        else:
            session.console.lines(file_table(listed, human=human, color=session.console.color))
        return
    if tail and lines is None and count_bytes is None:
        lines = TAIL_LINES
    _content(session, at, follow, lines, count_bytes)


def file_table(files: tuple[FileInfo, ...], *, human: bool = False, color: bool = False) -> list[str]:
    """Directories first, then by name."""
    rows = [
        [
            each.file_mode,
            size(each.size) if human else str(each.size),
            iso(each.mod_time_ns),
            each.name + ("/" if each.is_dir else ""),
        ]
        for each in sorted(files, key=lambda each: (not each.is_dir, each.name))
    ]
    return table(("Mode", "Size", "Modified Time", "Name"), rows, color=color) if rows else ["(empty)"]


def _content(
    session: Session, at: dict[str, Any], follow: bool, lines: int | None, count_bytes: int | None
) -> None:
    show = session.console.write_bytes
    if lines is not None and not follow:
        show(read_tail(session, FS_STREAM, lines, **at))
        return
    window = max(64 * 1024, lines * 1024) if lines is not None else count_bytes
    place = {} if window is None else {"offset": window, "origin": "end"}
    with session.stream(FS_STREAM, follow=follow, **at, **place) as stream:
        pump([Source(stream, show=show, tail=lines, window=window or 0)])
