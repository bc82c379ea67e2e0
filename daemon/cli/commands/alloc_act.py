"""`encamp alloc stop`, `restart` and `signal`."""

from __future__ import annotations

import click

from daemon.cli import complete, follow, resolve
from daemon.cli.framework import command, option, verbose_option
from daemon.cli.session import Session
from daemon.cli.with_session import with_session
from daemon.model.errors import InvalidInput
from daemon.rpc.methods import ALLOC_RESTART, ALLOC_SIGNAL, ALLOC_STOP

ACT_S = 60.0


@command("stop", example="encamp alloc stop 8a1f")
@click.argument("alloc", shell_complete=complete.allocs)
@option("-detach", "detach", is_flag=True, help="Do not wait for the replacement to be placed.")
@option("-no-shutdown-delay", "no_delay", is_flag=True, help="Do not wait the job's shutdown_delay.")
@verbose_option
@with_session
def stop(session: Session, alloc: str, detach: bool, no_delay: bool, verbose: bool) -> int:
    """Stop an allocation; the servers place another one for it.

    Exits 2 when the replacement could not be placed.
    """
    found = resolve.allocation(session, alloc)
    answer = session.call(ALLOC_STOP, id=found.id, namespace=found.namespace, no_shutdown_delay=no_delay)
    if detach or not answer.eval_id:
        session.console.line(f"Evaluation ID: {answer.eval_id}")
        return 0
    return follow.evaluation(session, answer.eval_id, found.namespace, verbose=verbose).exit_code


@command("restart", example="encamp alloc restart -task web 8a1f")
@click.argument("alloc", shell_complete=complete.allocs)
@click.argument("task_argument", required=False, metavar="[TASK]")
@option("-task", "task", default="", help="Only this task.")
@option("-all-tasks", "all_tasks", is_flag=True, help="All tasks, sidecars and finished ones too.")
@with_session
def restart(session: Session, alloc: str, task_argument: str | None, task: str, all_tasks: bool) -> None:
    """Restart the main tasks of an allocation in place, or one task, or all."""
    task = task or task_argument or ""
    if task and all_tasks:
        raise InvalidInput("-all-tasks and a task exclude each other")
    found = resolve.allocation(session, alloc)
    session.call(
        ALLOC_RESTART,
        id=found.id,
        namespace=found.namespace,
        task=task,
        all_tasks=all_tasks,
        timeout_s=ACT_S,
    )
    session.console.line(f"Restarted {f'task {task!r} of ' if task else ''}allocation {found.id[:8]}")


@command("signal", example="encamp alloc signal -s SIGHUP 8a1f web")
@click.argument("alloc", shell_complete=complete.allocs)
@click.argument("task_argument", required=False, metavar="[TASK]")
@option("-s", "signal_", default="SIGKILL", metavar="SIGNAL", help="The signal; SIGKILL unless given.")
@option("-task", "task", default="", help="Only this task; all running ones unless given.")
@with_session
def signal(session: Session, alloc: str, task_argument: str | None, signal_: str, task: str) -> None:
    """Send a signal to the tasks of an allocation."""
    name = signal_.upper()
    name = name if name.startswith("SIG") else f"SIG{name}"
    found = resolve.allocation(session, alloc)
    task = task or task_argument or ""
    session.call(
        ALLOC_SIGNAL, id=found.id, namespace=found.namespace, task=task, signal=name, timeout_s=ACT_S
    )
    session.console.line(f"Sent {name} to {f'task {task!r} of ' if task else ''}allocation {found.id[:8]}")
