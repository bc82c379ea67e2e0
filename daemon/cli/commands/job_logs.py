"""`encamp job logs`: the output of all tasks of a job, merged."""

from __future__ import annotations

import re
import sys
import time
import zlib
from typing import Any

import click

from daemon.cli import alloc_choice, complete, resolve
from daemon.cli.commands.alloc_logs import follow_source
from daemon.cli.framework import command, option
from daemon.cli.logpump import Source, pump, read_tail
from daemon.cli.session import Session
from daemon.cli.tail import Lines
from daemon.cli.text import paint
from daemon.cli.with_session import with_session
from daemon.model.alloc import Allocation
from daemon.model.errors import EncampError, InvalidInput, NotFound
from daemon.rpc.methods import ALLOC_LIST, FS_LOGS, JOB_GET

#: streams open at a time; a job with more tasks has to be narrowed.
STREAMS_MAX = 100
LOOK_AGAIN_S = 2.0
_COLORS = ("cyan", "green", "yellow", "blue", "red")


@command("logs", example="encamp job logs -f web\nencamp job logs -n 100 -grep 'ERROR|WARN' web")
@click.argument("job", shell_complete=complete.jobs)
@option("-f", "follow", is_flag=True, help="Go on with what is written from now on, new allocations too.")
@option("-n", "lines", type=click.IntRange(min=0), default=None, help="The last so many lines of each task.")
@option("-stdout", "stdout", is_flag=True, help="Only standard output.")
@option("-stderr", "stderr", is_flag=True, help="Only standard error.")
@option("-grep", "grep", default="", metavar="REGEX", help="Only lines that match.")
@option("-group", "group", default="", help="Only this group.")
@option("-task", "task", default="", help="Only this task.")
@option("-all", "everything", is_flag=True, help="Allocations that are over, too.")
@with_session
def logs(session: Session, /, job: str, **wishes: Any) -> None:
    """Show the output of all tasks of a job, each line with its allocation and task before it.

    Without -f it shows what there is and ends. Allocations that are over are shown when none runs, or with -all.
    """
    stub = resolve.job(session, job)
    _Logs(session, stub.id, stub.namespace, **wishes).run()


class _Logs:
    """One run of the command."""

    def __init__(
        self,
        session: Session,
        job_id: str,
        namespace: str,
        *,
        follow: bool,
        lines: int | None,
        stdout: bool,
        stderr: bool,
        grep: str,
        group: str,
        task: str,
        everything: bool,
    ) -> None:
        self._session = session
        self._job_id, self._namespace = job_id, namespace
        self._follow, self._lines = follow, lines
        self._kinds = ["stdout"] * (stdout or not stderr) + ["stderr"] * (stderr or not stdout)
        self._group, self._task, self._everything = group, task, everything
        self._pattern = _compile(grep)
        self._seen: set[tuple[str, str, str]] = set()
        self._sources: list[Source] = []

    def run(self) -> None:
        """Show everything that matches."""
        started = self._targets(first=True)
        if not started:
            raise NotFound(
                f'job "{self._job_id}" has no output yet; `encamp job why {self._job_id}` says why'
            )
        if not self._follow:
            for alloc, task, kind in started:
                self._print(alloc, task, kind)
            return
        try:
            self._open(started)
            while True:
                pump(self._sources, time.monotonic() + LOOK_AGAIN_S)
                fresh = self._targets(first=False)
                if not self._sources and not fresh:
                    if self._over():
                        return
                    time.sleep(LOOK_AGAIN_S)
                self._open(fresh)
        finally:
            for source in self._sources:
                source.stream.__exit__(None, None, None)

    def _targets(self, *, first: bool) -> list[tuple[Allocation, str, str]]:
        """(allocation, task, output) not opened yet, oldest allocation first."""
        job = self._session.call(JOB_GET, id=self._job_id, namespace=self._namespace).job
        pages = self._session.pages(ALLOC_LIST, job=self._job_id, namespace=self._namespace)
        allocs = [each for page in pages for each in page.allocations]
        if self._group:
            allocs = [each for each in allocs if each.task_group == self._group]
        alive = [each for each in allocs if not each.client_terminal]
        shown = allocs if self._everything or (first and not alive) else alive
        found = []
        for alloc in sorted(shown, key=lambda each: (each.create_index, each.name)):
            names = alloc_choice.task_names(alloc, job)
            for task in [name for name in names if not self._task or name == self._task]:
                if alloc.task_states and task in alloc.task_states and alloc.task_states[task].started_at_ns:
                    found += [(alloc, task, kind) for kind in self._kinds]
        return [each for each in found if (each[0].id, each[1], each[2]) not in self._seen]

    def _open(self, targets: list[tuple[Allocation, str, str]]) -> None:
        if len(self._sources) + len(targets) > STREAMS_MAX:
            raise InvalidInput(
                f'job "{self._job_id}" has more than {STREAMS_MAX} outputs; narrow with -group, -task or -stdout'
            )
        for alloc, task, kind in targets:
            self._seen.add((alloc.id, task, kind))
            at = {"id": alloc.id, "namespace": alloc.namespace, "task": task, "type": kind}
            source = follow_source(self._session, at, self._lines)
            lines = self._cutter(alloc, task)
            source.show = lambda data, lines=lines: self._write(lines.feed(data))  # type: ignore[misc]
            source.finish = lambda lines=lines: self._write(lines.end())  # type: ignore[misc]
            self._sources.append(source)

    def _print(self, alloc: Allocation, task: str, kind: str) -> None:
        at = {"id": alloc.id, "namespace": alloc.namespace, "task": task, "type": kind}
        lines = self._cutter(alloc, task)
        try:
            if self._lines is not None:
                self._write(lines.feed(read_tail(self._session, FS_LOGS, self._lines, **at)))
            else:
                with self._session.stream(FS_LOGS, **at) as stream:
                    while (data := stream.recv()) is not None:
                        self._write(lines.feed(data))
        except EncampError as error:
            self._session.console.warn(f"{alloc.id[:8]}/{task} {kind}: {error}")
        self._write(lines.end())

    def _cutter(self, alloc: Allocation, task: str) -> Lines:
        label = f"{alloc.id[:8]}/{task}"
        style = _COLORS[zlib.crc32(label.encode()) % len(_COLORS)]
        shown = paint(label, style, self._session.console.color)
        return Lines(prefix=f"{shown} ".encode(), pattern=self._pattern)

    def _write(self, data: bytes) -> None:
        if data:
            self._session.console.write_bytes(data)
            sys.stdout.flush()

    def _over(self) -> bool:
        job = self._session.call(JOB_GET, id=self._job_id, namespace=self._namespace).job
        return job.status == "dead"


def _compile(grep: str) -> re.Pattern[bytes] | None:
    if not grep:
        return None
    try:
        return re.compile(grep.encode())
    except re.error as error:
        raise InvalidInput(f"-grep {grep!r} is no regular expression: {error}") from error
