"""Versions and rollouts of one job: `encamp job promote`, `deployments`, `revert` and `tag`."""

from __future__ import annotations

from typing import Any

import click

from daemon.cli import complete, resolve
from daemon.cli.follow import Follower
from daemon.cli.framework import command, json_option, option, verbose_option
from daemon.cli.session import Session
from daemon.cli.views import deployments as view
from daemon.cli.with_session import with_session
from daemon.model.base import to_json
from daemon.model.enums import JobType
from daemon.model.errors import InvalidInput, NotFound
from daemon.rpc.methods import (
    JOB_DEPLOYMENTS,
    JOB_GET,
    JOB_LATEST_DEPLOYMENT,
    JOB_REVERT,
    JOB_TAG,
    JOB_VERSIONS,
)

REVERT_S = 24 * 3600.0


@command("promote", example="encamp job promote web")
@click.argument("job", shell_complete=complete.jobs)
@option("-group", "groups", multiple=True, help="Only this group; repeatable.")
@option("-detach", "detach", is_flag=True, help="Do not follow the rollout.")
@verbose_option
@json_option
@with_session
def promote(
    session: Session, job: str, groups: tuple[str, ...], detach: bool, verbose: bool, as_json: bool
) -> int:
    """Let the rest of a job follow its canaries, which must all be healthy.

    Follows the rollout to its end; exits 1 when it fails.
    """
    from daemon.cli.commands.deployments import promoted

    stub = resolve.job(session, job)
    row = session.call(JOB_LATEST_DEPLOYMENT, id=stub.id, namespace=stub.namespace).deployment
    if row is None:
        raise InvalidInput(f'job "{stub.id}" has no deployment, and so no canaries to promote')
    return promoted(session, row.id, groups, detach, verbose, as_json)


@command("deployments", example="encamp job deployments web\nencamp job deployments -latest web")
@click.argument("job", shell_complete=complete.jobs)
@option("-latest", "latest", is_flag=True, help="Only the newest, with its groups.")
@option("-all", "all_", is_flag=True, help="Those of an earlier job of the same id, too.")
@verbose_option
@json_option
@with_session
def deployments(session: Session, job: str, latest: bool, all_: bool, verbose: bool, as_json: bool) -> None:
    """List the rollouts of a job, newest first."""
    stub = resolve.job(session, job)
    rows = session.call(JOB_DEPLOYMENTS, id=stub.id, namespace=stub.namespace).deployments
    if not all_:
        rows = tuple(row for row in rows if row.job_create_index == stub.create_index)
    console = session.console
    if as_json:
        console.json(to_json((rows[0] if rows else None) if latest else rows, indent=2))
    elif latest and rows:
        console.lines(view.whole(rows[0], verbose=verbose, color=console.color))
    else:
        console.lines(view.deployment_list(rows, verbose=verbose, color=console.color))


@command("revert", example="encamp job revert web 3\nencamp job revert -tag good web")
@click.argument("job", shell_complete=complete.jobs)
@click.argument("version", type=click.IntRange(min=0), required=False)
@option("-tag", "tag", default="", help="The version with this name.")
@option("-prior-version", "prior", type=int, default=None, help="Only if this version is the current one.")
@option("-detach", "detach", is_flag=True, help="Do not follow the rollout.")
@verbose_option
@json_option
@with_session
def revert(
    session: Session,
    job: str,
    version: int | None,
    tag: str,
    prior: int | None,
    detach: bool,
    verbose: bool,
    as_json: bool,
) -> int:
    """Bring back an earlier version of a job, as a new version, and follow it until it is healthy.

    `encamp job history JOB` lists the versions that are kept.
    """
    stub = resolve.job(session, job)
    at: dict[str, Any] = {"namespace": stub.namespace}
    if (version is None) == (not tag):
        raise InvalidInput("give a version, or -tag NAME")
    if version is None:
        version = _tagged(session, stub.id, tag, at)
    if version == stub.version:
        raise InvalidInput(
            f'job "{stub.id}" is at version {version} already; `encamp job history {stub.id}` lists the others'
        )
    answer = session.call(JOB_REVERT, job_id=stub.id, job_version=version, enforce_prior_version=prior, **at)
    if as_json:
        session.console.json(to_json(answer, indent=2))
        session.console.progress_to_stderr = True
    session.console.progress([f'Job "{stub.id}": version {version} comes back as version {answer.version}'])
    if detach or not answer.eval_id:
        if not as_json:
            session.console.line(f"Evaluation ID: {answer.eval_id}")
        return 0
    follower = Follower(session, stub.namespace, verbose=verbose)
    verdict = follower.evaluation(answer.eval_id)
    if verdict.exit_code:
        return follower.end(verdict).exit_code
    now = follower.fetch(JOB_GET, id=stub.id).job
    if now.type not in (JobType.SERVICE, JobType.SYSTEM):
        return follower.end(verdict).exit_code
    return follower.health(now, answer.version, REVERT_S).exit_code


def _tagged(session: Session, job_id: str, tag: str, at: dict[str, Any]) -> int:
    listed = session.call(JOB_VERSIONS, id=job_id, **at).versions
    for each in listed:
        if each.version_tag is not None and each.version_tag.name == tag:
            return each.version
    known = ", ".join(each.version_tag.name for each in listed if each.version_tag is not None) or "none"
    raise NotFound(f'job "{job_id}" has no version with the tag "{tag}"; its tags: {known}')


@command("apply", example="encamp job tag apply -name good -version 3 web")
@click.argument("job", shell_complete=complete.jobs)
@option("-name", "name", required=True, help="What the version shall be called.")
@option("-version", "version", type=click.IntRange(min=0), default=None, help="The latest unless given.")
@option("-description", "description", default="", help="What is special about it.")
@with_session
def tag_apply(session: Session, job: str, name: str, version: int | None, description: str) -> None:
    """Name a version of a job. A named version is kept, however many follow."""
    stub = resolve.job(session, job)
    answer = session.call(
        JOB_TAG,
        job_id=stub.id,
        name=name,
        version=version,
        description=description,
        namespace=stub.namespace,
    )
    session.console.line(f'Version {answer.version} of job "{stub.id}" is called "{name}"')


@command("unset", example="encamp job tag unset -name good web")
@click.argument("job", shell_complete=complete.jobs)
@option("-name", "name", required=True, help="The name that is not wanted any more.")
@with_session
def tag_unset(session: Session, job: str, name: str) -> None:
    """Take a name off its version, which may then be forgotten like others."""
    stub = resolve.job(session, job)
    session.call(JOB_TAG, job_id=stub.id, name=name, unset=True, namespace=stub.namespace)
    session.console.line(f'No version of job "{stub.id}" is called "{name}" any more')
