"""`encamp job restart`: the allocations of a job, a few at a time."""

from __future__ import annotations

import time
from typing import Any

import click

from daemon.cli import complete, resolve
from daemon.cli.durations import DURATION
from daemon.cli.follow import Follower
from daemon.cli.framework import command, option, verbose_option
from daemon.cli.restart_plan import batches, replaced_by, restarted
from daemon.cli.session import Session
from daemon.cli.text import many
from daemon.cli.watch import Line
from daemon.cli.with_session import with_session
from daemon.model.alloc import Allocation
from daemon.model.errors import EncampError, InvalidInput, Unavailable
from daemon.rpc.methods import ALLOC_LIST, ALLOC_RESTART, ALLOC_STOP

ACT_S = 60.0


@command(
    "restart",
    example="encamp job restart -batch-size 2 web\nencamp job restart -reschedule -on-error continue web",
)
@click.argument("job", shell_complete=complete.jobs)
@option(
    "-batch-size",
    "batch_size",
    default="1",
    metavar="N|N%",
    help="So many allocations at a time; 1 unless given.",
)
@option(
    "-batch-wait",
    "batch_wait_s",
    type=DURATION,
    default=0.0,
    metavar="TIME",
    help="Pause between two batches.",
)
@option(
    "-timeout", "timeout_s", type=DURATION, default=300.0, metavar="TIME", help="For each batch to run again."
)
@option("-group", "group", default="", help="Only allocations of this group.")
@option("-task", "task", default="", help="Only this task of each.")
@option("-all-tasks", "all_tasks", is_flag=True, help="All tasks, sidecars and finished ones too.")
@option("-all", "everything", is_flag=True, help="All allocations at once.")
@option(
    "-reschedule", "reschedule", is_flag=True, help="Stop each and have it placed anew, instead of in place."
)
@option(
    "-on-error",
    "on_error",
    type=click.Choice(["fail", "continue"]),
    default="fail",
    help="After a failure: end (the default), or go on with the rest and exit 1.",
)
@verbose_option
@with_session
def restart(
    session: Session,
    job: str,
    batch_size: str,
    batch_wait_s: float,
    timeout_s: float,
    group: str,
    task: str,
    all_tasks: bool,
    everything: bool,
    reschedule: bool,
    on_error: str,
    verbose: bool,
) -> int:
    """Restart the running allocations of a job in batches, and wait for each batch to run again."""
    if task and all_tasks:
        raise InvalidInput("-task and -all-tasks exclude each other")
    stub = resolve.job(session, job)
    pages = session.pages(ALLOC_LIST, job=stub.id, namespace=stub.namespace)
    running = [
        each
        for page in pages
        for each in page.allocations
        if each.client_status == "running"
        and not each.server_terminal
        and (not group or each.task_group == group)
    ]
    if not running:
        raise InvalidInput(
            f'job "{stub.id}" has no running allocation to restart; `encamp job why {stub.id}` says why'
        )
    follower = Follower(session, stub.namespace, verbose=verbose)
    work = batches(running, "100%" if everything else batch_size)
    failed = 0
    for number, batch in enumerate(work, 1):
        follower.say([Line(f"Batch {number} of {len(work)}: {many(len(batch), 'allocation')}", info=True)])
        one = _Batch(session, follower, stub.id, batch, task, all_tasks, reschedule)
        try:
            one.act()
            one.wait(timeout_s)
        except EncampError as error:
            failed += 1
            if on_error == "fail":
                raise
            session.console.warn(str(error))
        if number < len(work) and batch_wait_s:
            time.sleep(batch_wait_s)
    if failed:
        follower.say([Line(f"{failed} of {len(work)} batches failed", info=True)])
        return 1
    follower.say([Line(f'Job "{stub.id}": {many(len(running), "allocation")} restarted', info=True)])
    return 0


class _Batch:
    """Allocations that are restarted together."""

    def __init__(
        self,
        session: Session,
        follower: Follower,
        job_id: str,
        allocs: list[Allocation],
        task: str,
        all_tasks: bool,
        reschedule: bool,
    ) -> None:
        self._session, self._follower, self._job_id = session, follower, job_id
        self._allocs, self._task, self._all_tasks, self._reschedule = allocs, task, all_tasks, reschedule

    def act(self) -> None:
        """Ask for all of them."""
        for alloc in self._allocs:
            at: dict[str, Any] = {"id": alloc.id, "namespace": alloc.namespace}
            if self._reschedule:
                self._session.call(ALLOC_STOP, **at)
            else:
                self._session.call(
                    ALLOC_RESTART, task=self._task, all_tasks=self._all_tasks, timeout_s=ACT_S, **at
                )
            self._follower.say([Line(f'Allocation "{alloc.id[:8]}" is asked to restart')])

    def wait(self, timeout_s: float) -> None:
        """Until all run again.

        Raises: Unavailable naming those that do not.
        """
        until = time.monotonic() + timeout_s
        left = list(self._allocs)
        while True:
            now = {each.id: each for each in self._follower.changed(ALLOC_LIST, job=self._job_id).allocations}
            for before in list(left):
                after = replaced_by(before, now) if self._reschedule else now.get(before.id)
                if after is not None and restarted(before, after, self._task, self._reschedule):
                    left.remove(before)
                    self._follower.say([Line(f'Allocation "{after.id[:8]}" runs')])
            if not left:
                return
            if time.monotonic() > until:
                names = ", ".join(each.id[:8] for each in left)
                raise Unavailable(
                    f"not running again after {timeout_s:g} s: allocation {names}; see `encamp alloc status`"
                )
