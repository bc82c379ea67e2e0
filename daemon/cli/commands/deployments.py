"""`encamp deployment ...`: look at rollouts and steer them."""

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
from daemon.model.errors import InvalidInput
from daemon.rpc.messages import DeploymentUpdateResponse
from daemon.rpc.methods import (
    DEPLOYMENT_ALLOCS,
    DEPLOYMENT_FAIL,
    DEPLOYMENT_LIST,
    DEPLOYMENT_PAUSE,
    DEPLOYMENT_PROMOTE,
    Method,
)


@command("list", example="encamp deployment list\nencamp deployment list -status running")
@option("-job", "job", default="", help="Only those of this job.")
@option("-status", "status_", default="", help="Only those with this status.")
@verbose_option
@json_option
@with_session
def list_(session: Session, job: str, status_: str, verbose: bool, as_json: bool) -> None:
    """List deployments, newest first."""
    _list(session, job, status_, verbose, as_json)


def _list(session: Session, job: str, status_: str, verbose: bool, as_json: bool) -> None:
    pages = session.pages(DEPLOYMENT_LIST, job=job, status=status_)
    rows = [row for page in pages for row in page.deployments]
    if as_json:
        session.console.json(to_json(rows, indent=2))
        return
    session.console.lines(view.deployment_list(rows, verbose=verbose, color=session.console.color))


@command(
    "status",
    example="encamp deployment status\nencamp deployment status 5f3a\nencamp deployment status -monitor 5f3a",
)
@click.argument("deployment", required=False, shell_complete=complete.deployments)
@option("-monitor", "monitor", is_flag=True, help="Follow it until it is over; exit 1 unless it succeeds.")
@verbose_option
@json_option
@with_session
def status(session: Session, deployment: str | None, monitor: bool, verbose: bool, as_json: bool) -> int:
    """List deployments, or show one: how far each group is, and what holds it up.

    DEPLOYMENT is an id or a unique prefix of one.
    """
    if deployment is None:
        if monitor:
            raise InvalidInput("say which deployment to follow; `encamp deployment list` lists them")
        _list(session, "", "", verbose, as_json)
        return 0
    row = resolve.deployment(session, deployment)
    console = session.console
    if monitor:
        if as_json:
            raise InvalidInput("-monitor follows in words; leave out -json, or ask again without -monitor")
        return Follower(session, row.namespace, verbose=verbose).rollout(row.id).exit_code
    if as_json:
        allocs = session.call(DEPLOYMENT_ALLOCS, id=row.id).allocations
        console.json(to_json({"Deployment": row, "Allocations": allocs}, indent=2))
        return 0
    console.lines(view.whole(row, verbose=verbose, color=console.color))
    if row.active and row.needs_promotion:
        console.line(f"\n`encamp job promote {row.job_id}` promotes its canaries once they are healthy.")
    return 0


@command("promote", example="encamp deployment promote 5f3a\nencamp deployment promote -group web 5f3a")
@click.argument("deployment", shell_complete=complete.deployments)
@option("-group", "groups", multiple=True, help="Only this group; repeatable.")
@option("-detach", "detach", is_flag=True, help="Do not follow the rollout.")
@verbose_option
@json_option
@with_session
def promote(
    session: Session, deployment: str, groups: tuple[str, ...], detach: bool, verbose: bool, as_json: bool
) -> int:
    """Let the rest follow the canaries, which must all be healthy. Follows the rollout to its end."""
    return promoted(session, deployment, groups, detach, verbose, as_json)


def promoted(
    session: Session, deployment: str, groups: tuple[str, ...], detach: bool, verbose: bool, as_json: bool
) -> int:
    """Promote, and follow."""
    row = resolve.deployment(session, deployment)
    try:
        answer = session.call(
            DEPLOYMENT_PROMOTE, deployment_id=row.id, all=not groups, groups=groups, namespace=row.namespace
        )
    except InvalidInput as error:
        allocs = session.call(DEPLOYMENT_ALLOCS, id=row.id, namespace=row.namespace).allocations
        lines = view.unready_canaries(row, allocs, groups, verbose)
        raise InvalidInput("\n".join([error.message, *lines]), **error.details) from error
    if as_json:
        session.console.json(to_json(answer, indent=2))
        session.console.progress_to_stderr = True
    if detach:
        if not as_json:
            session.console.line(f"Evaluation ID: {answer.eval_id}")
        return 0
    return Follower(session, row.namespace, verbose=verbose).rollout(row.id).exit_code


def _steered(
    session: Session,
    deployment: str,
    as_json: bool,
    method: Method[Any, DeploymentUpdateResponse],
    word: str,
    **fields: Any,
) -> None:
    row = resolve.deployment(session, deployment)
    answer = session.call(method, deployment_id=row.id, namespace=row.namespace, **fields)
    if as_json:
        session.console.json(to_json(answer, indent=2))
        return
    session.console.line(f'Deployment "{row.id[:8]}" of job "{row.job_id}" {word}')
    if answer.reverted_job_version is not None:
        version = answer.reverted_job_version
        session.console.line(f'Job "{row.job_id}" is back at what it was, as version {version}')


@command("fail", example="encamp deployment fail 5f3a")
@click.argument("deployment", shell_complete=complete.deployments)
@json_option
@with_session
def fail(session: Session, deployment: str, as_json: bool) -> None:
    """End a deployment as failed. With auto_revert the job goes back to its newest stable version."""
    _steered(session, deployment, as_json, DEPLOYMENT_FAIL, "has failed, as you wished")


@command("pause", example="encamp deployment pause 5f3a")
@click.argument("deployment", shell_complete=complete.deployments)
@json_option
@with_session
def pause(session: Session, deployment: str, as_json: bool) -> None:
    """Hold a deployment: nothing is replaced any more until it is resumed, and its deadline waits."""
    _steered(
        session,
        deployment,
        as_json,
        DEPLOYMENT_PAUSE,
        "is paused; `encamp deployment resume` lets it go on",
        pause=True,
    )


@command("resume", example="encamp deployment resume 5f3a")
@click.argument("deployment", shell_complete=complete.deployments)
@json_option
@with_session
def resume(session: Session, deployment: str, as_json: bool) -> None:
    """Let a paused deployment go on; its deadline begins anew."""
    _steered(session, deployment, as_json, DEPLOYMENT_PAUSE, "goes on", pause=False)
