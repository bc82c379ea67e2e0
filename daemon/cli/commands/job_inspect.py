"""`encamp job inspect` and `encamp job history`: what was submitted."""

from __future__ import annotations

import sys
from typing import Any

import click

from daemon.cli import complete, resolve
from daemon.cli.framework import command, json_option, option
from daemon.cli.session import Session
from daemon.cli.text import iso, pairs
from daemon.cli.with_session import with_session
from daemon.model.base import to_json
from daemon.model.errors import NotFound
from daemon.model.job import Job
from daemon.rpc.methods import JOB_GET, JOB_SOURCE, JOB_VERSIONS


@command("inspect", example="encamp job inspect -hcl web")
@click.argument("job", shell_complete=complete.jobs)
@option("-version", "version", type=int, default=None, help="A version of the job; the latest unless given.")
@option("-hcl", "as_source", is_flag=True, help="Print the text that was submitted instead of JSON.")
@option("-json", "as_json", is_flag=True, help="JSON, which is what it prints anyway.")
@with_session
def inspect(session: Session, job: str, version: int | None, as_source: bool, as_json: bool) -> None:
    """Print a job as the servers hold it, in JSON, or the text that it was made from."""
    stub = resolve.job(session, job)
    at: dict[str, Any] = {"id": stub.id, "namespace": stub.namespace}
    if as_source:
        answer = session.call(JOB_SOURCE, version=-1 if version is None else version, **at)
        text = answer.submission.source
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
        return
    found = session.call(JOB_GET, **at).job if version is None else _version(session, at, version)
    session.console.json(to_json({"Job": found}, indent=2))


def _version(session: Session, at: dict[str, Any], version: int) -> Job:
    listed = session.call(JOB_VERSIONS, **at).versions
    for each in listed:
        if each.version == version:
            return each
    known = ", ".join(str(each.version) for each in listed) or "none"
    raise NotFound(f'job "{at["id"]}" has no version {version}; the servers keep: {known}')


@command("history", example="encamp job history -p web")
@click.argument("job", shell_complete=complete.jobs)
@option("-p", "with_diff", is_flag=True, help="Show what each version changed.")
@option("-full", "full", is_flag=True, help="Print whole jobs as JSON.")
@option("-version", "version", type=int, default=None, help="Only this version.")
@json_option
@with_session
def history(
    session: Session, job: str, with_diff: bool, full: bool, version: int | None, as_json: bool
) -> None:
    """List the versions of a job, newest first."""
    stub = resolve.job(session, job)
    answer = session.call(JOB_VERSIONS, id=stub.id, namespace=stub.namespace)
    listed = list(enumerate(answer.versions))
    if version is not None:
        listed = [item for item in listed if item[1].version == version]
        if not listed:
            raise NotFound(f'job "{stub.id}" has no version {version}')
    if as_json or full:
        session.console.json(to_json([each for _, each in listed], indent=2))
        return
    for number, (at, each) in enumerate(listed):
        if number:
            session.console.line()
        items = [("Version", str(each.version)), ("Stable", str(each.stable).lower())]
        items.append(("Submit Date", iso(each.submit_time_ns)))
        if each.version_tag is not None:
            items.append(("Tag Name", each.version_tag.name))
            if each.version_tag.description:
                items.append(("Tag Description", each.version_tag.description))
        session.console.lines(pairs(items))
        if with_diff and at < len(answer.diffs):
            session.console.lines(["Diff        =", *_diff(answer.diffs[at], session.console.color)])


def _diff(diff: dict[str, Any], color: bool) -> list[str]:
    from daemon.cli.views.plan import diff_lines

    return diff_lines(diff, color=color)
