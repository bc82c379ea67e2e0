"""`encamp job status`: the list of jobs, or one job."""

from __future__ import annotations

import time
from typing import Any

import click

from daemon.cli import complete, resolve
from daemon.cli.framework import command, json_option, option, verbose_option
from daemon.cli.session import Session
from daemon.cli.views import deployments as deployment_view
from daemon.cli.views import jobs as view
from daemon.cli.views import launches as launch_view
from daemon.cli.views.metrics import failures
from daemon.cli.with_session import with_session
from daemon.model.base import to_json
from daemon.rpc.methods import ALLOC_LIST, EVAL_GET, EVAL_LIST, JOB_GET, JOB_LATEST_DEPLOYMENT, JOB_LIST


@command("status", example="encamp job status\nencamp job status -evals web")
@click.argument("job", required=False, shell_complete=complete.jobs)
@option("-evals", "with_evals", is_flag=True, help="Show the job's evaluations too.")
@option(
    "-all-allocs", "all_allocs", is_flag=True, help="Show allocations of other versions that are over, too."
)
@verbose_option
@json_option
@with_session
def status(
    session: Session, job: str | None, with_evals: bool, all_allocs: bool, verbose: bool, as_json: bool
) -> None:
    """List jobs, or show one job with its groups and allocations.

    JOB is an id or a unique prefix of one.
    """
    if job is None:
        _list(session, as_json)
    else:
        _one(session, job, with_evals, all_allocs, verbose, as_json)


def _list(session: Session, as_json: bool) -> None:
    stubs = [stub for page in session.pages(JOB_LIST) for stub in page.jobs]
    console = session.console
    if as_json:
        console.json(to_json(stubs, indent=2))
        return
    everywhere = session.settings.namespace == "*"
    console.lines(view.job_list(stubs, all_namespaces=everywhere, color=console.color))


def _one(
    session: Session, typed: str, with_evals: bool, all_allocs: bool, verbose: bool, as_json: bool
) -> None:
    stub = resolve.job(session, typed)
    at: dict[str, Any] = {"namespace": stub.namespace}
    answer = session.call(JOB_GET, id=stub.id, **at)
    allocs = [each for page in session.pages(ALLOC_LIST, job=stub.id, **at) for each in page.allocations]
    evals = [each for page in session.pages(EVAL_LIST, job=stub.id, **at) for each in page.evaluations]
    latest = session.call(JOB_LATEST_DEPLOYMENT, id=stub.id, **at).deployment
    console = session.console
    if as_json:
        whole = {
            "Job": answer.job,
            "Launches": answer.launches,
            "NextLaunch": answer.next_launch_ns,
            "Children": answer.children,
            "Summary": answer.summary,
            "LatestDeployment": latest,
            "Allocations": allocs,
            "Evaluations": evals,
        }
        console.json(to_json(whole, indent=2))
        return
    color, verbose_color = console.color, {"verbose": verbose, "color": console.color}
    console.lines(view.job_pairs(answer.job, color=color))
    console.lines(launch_view.launches(answer, time.time_ns(), color=color))
    console.section("Launches", launch_view.runs(answer, all_=verbose, color=color))
    console.section("Summary", view.summary(answer.summary, color=color))
    if with_evals or verbose:
        console.section("Evaluations", view.eval_table(evals, **verbose_color))
    blocked = view.placement_failure(evals)
    if blocked is not None and not answer.job.stop:
        explained = session.call(EVAL_GET, id=blocked.id, **at)
        console.section("Placement Failure", failures(blocked.failed_tg_allocs, explained.explanations))
        console.line(f"`encamp job why {stub.id}` says what would place it.")
    if latest is not None:
        console.section("Latest Deployment", deployment_view.whole(latest, **verbose_color))
    if not all_allocs:
        allocs = [each for each in allocs if each.job_version == answer.job.version or not each.terminal]
    rows = view.alloc_table(allocs, time.time_ns(), **verbose_color)
    console.section("Allocations", rows or ["No allocations placed"])
