"""`encamp job dispatch` and `encamp job periodic force`: launch what is not run by itself."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from daemon.cli import complete, follow, resolve
from daemon.cli.durations import DURATION
from daemon.cli.framework import command, json_option, option, verbose_option
from daemon.cli.judge import Outcome
from daemon.cli.session import Session
from daemon.cli.with_session import with_session
from daemon.model.base import to_json
from daemon.model.errors import InvalidInput
from daemon.rpc.methods import JOB_DISPATCH, JOB_GET, PERIODIC_FORCE

#: longest payload that the servers take, and one byte more: enough to know that it is too long.
READ_MAX = 16 * 1024 + 1
FOLLOW_S = 24 * 3600.0


@command(
    "dispatch",
    example="encamp job dispatch -meta size=large encode video.json\necho hello | encamp job dispatch encode -",
)
@click.argument("job", shell_complete=complete.jobs)
@click.argument("payload", required=False, type=str)
@option("-meta", "meta", multiple=True, metavar="KEY=VALUE", help="Meta that the job asks for. Repeatable.")
@option("-id-prefix-template", "prefix", default="", help="Put into the new job's id, before its number.")
@option("-idempotency-token", "token", default="", help="The same token again gives the same job.")
@option("-priority", "priority", type=click.IntRange(1, 100), default=None, help="Of the new job.")
@option("-detach", "detach", is_flag=True, help="Do not follow the new job.")
@option("-wait", "wait", is_flag=True, help="Wait until it is complete; exit 2 when it fails.")
@option("-timeout", "timeout_s", type=DURATION, default=FOLLOW_S, metavar="TIME", help="Follow no longer.")
@verbose_option
@json_option
@with_session
def dispatch(
    session: Session,
    job: str,
    payload: str | None,
    meta: tuple[str, ...],
    prefix: str,
    token: str,
    priority: int | None,
    detach: bool,
    wait: bool,
    timeout_s: float,
    verbose: bool,
    as_json: bool,
) -> int:
    """Launch a parameterized job. PAYLOAD is a file, or `-` for stdin, of at most 16 KiB.

    Exits 2 when the new job could not be placed, or with -wait when it has failed.
    """
    stub = resolve.job(session, job)
    answer = session.call(
        JOB_DISPATCH,
        job_id=stub.id,
        namespace=stub.namespace,
        payload=_payload(payload),
        meta=_meta(meta),
        id_prefix_template=prefix,
        idempotency_token=token,
        priority=priority or 0,
    )
    if as_json:
        session.console.json(to_json(answer, indent=2))
        session.console.progress_to_stderr = True
    else:
        session.console.line(f"Dispatched Job ID = {answer.dispatched_job_id}")
        session.console.line(f"Evaluation ID     = {answer.eval_id or '<none>'}")
    if detach or not answer.eval_id or (answer.existing and not wait):
        return 0
    follower = follow.Follower(session, stub.namespace, verbose=verbose)
    verdict = follower.evaluation(answer.eval_id, limit_s=min(timeout_s, follow.EVAL_LIMIT_S))
    if verdict.outcome is not Outcome.PLACED or not wait:
        return verdict.exit_code
    child = follower.fetch(JOB_GET, id=answer.dispatched_job_id).job
    ended = follower.completion(child, child.version, timeout_s)
    return 2 if ended.exit_code else 0


@command("force", example="encamp job periodic force nightly")
@click.argument("job", shell_complete=complete.jobs)
@option("-detach", "detach", is_flag=True, help="Do not follow the launch.")
@verbose_option
@json_option
@with_session
def force(session: Session, job: str, detach: bool, verbose: bool, as_json: bool) -> int:
    """Launch a periodic job now, whatever its schedule and prohibit_overlap say."""
    stub = resolve.job(session, job)
    answer = session.call(PERIODIC_FORCE, job_id=stub.id, namespace=stub.namespace)
    if as_json:
        session.console.json(to_json(answer, indent=2))
        session.console.progress_to_stderr = True
    else:
        session.console.line(f"Launched Job ID = {answer.job_id}")
        session.console.line(f"Evaluation ID   = {answer.eval_id or '<none>'}")
    if detach or not answer.eval_id:
        return 0
    return follow.evaluation(session, answer.eval_id, stub.namespace, verbose=verbose).exit_code


def _payload(source: str | None) -> bytes:
    if source is None:
        return b""
    if source == "-":
        return sys.stdin.buffer.read(READ_MAX)
    try:
        with Path(source).open("rb") as file:
            return file.read(READ_MAX)
    except OSError as error:
        raise InvalidInput(f"the payload {source} cannot be read: {error.strerror}") from error


def _meta(pairs: tuple[str, ...]) -> dict[str, str]:
    meta: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InvalidInput(f"-meta {pair!r}: write KEY=VALUE")
        meta[key] = value
    return meta
