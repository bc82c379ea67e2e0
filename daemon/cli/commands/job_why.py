"""`encamp job why`: why something is not running."""

from __future__ import annotations

import click

from daemon.cli import complete, resolve
from daemon.cli.framework import command, json_option
from daemon.cli.session import Session
from daemon.cli.views.why import why as lines
from daemon.cli.with_session import with_session
from daemon.model.base import to_json
from daemon.rpc.methods import JOB_WHY


@command("why", example="encamp job why web")
@click.argument("job", shell_complete=complete.jobs)
@json_option
@with_session
def why(session: Session, job: str, as_json: bool) -> None:
    """Explain in plain words why a job, or a part of it, is not running.

    Per group: how many nodes each constraint or resource removed, the node that came nearest, and what single
    change would place it. It answers 0 whatever the reason is; `-json` has "Ok".
    """
    stub = resolve.job(session, job)
    answer = session.call(JOB_WHY, id=stub.id, namespace=stub.namespace)
    if as_json:
        session.console.json(to_json(answer, indent=2))
    else:
        session.console.lines(lines(answer, color=session.console.color))
