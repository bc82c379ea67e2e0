"""Which allocation and which task a command is about, from an id, or a job with a group and a task."""

from __future__ import annotations

from daemon.cli import resolve
from daemon.cli.session import Session
from daemon.model.alloc import Allocation
from daemon.model.errors import InvalidInput, NotFound
from daemon.model.job import Job
from daemon.rpc.methods import ALLOC_GET, ALLOC_LIST


def choose(
    session: Session, typed: str | None, *, job: bool = False, group: str = "", task: str = ""
) -> tuple[Allocation, Job | None]:
    """The allocation meant. With `job`, `typed` is a job, and a running one of its newest allocations is taken.

    Raises: InvalidInput, NotFound.
    """
    if not typed:
        raise InvalidInput("give an allocation, or -job and a job")
    if job:
        found = _of_job(session, typed, group, task)
    else:
        found = resolve.allocation(session, typed)
    answer = session.call(ALLOC_GET, id=found.id, namespace=found.namespace)
    return answer.allocation, answer.job


def _of_job(session: Session, typed: str, group: str, task: str) -> Allocation:
    stub = resolve.job(session, typed)
    pages = session.pages(ALLOC_LIST, job=stub.id, namespace=stub.namespace)
    found = [each for page in pages for each in page.allocations if not group or each.task_group == group]
    if task:
        found = [each for each in found if task in each.task_states or task in each.allocated_resources.tasks]
    if not found:
        where = f' in group "{group}"' if group else ""
        what = f' with task "{task}"' if task else ""
        raise NotFound(f'job "{stub.id}" has no allocation{where}{what}; `encamp job why {stub.id}` says why')
    return max(
        found, key=lambda each: (each.client_status == "running", each.create_time_ns, each.create_index)
    )


def task_names(alloc: Allocation, job: Job | None) -> list[str]:
    """Tasks of an allocation, the main ones first, in the order of the file."""
    group = job.group(alloc.task_group) if job is not None else None
    if group is None:
        return sorted(set(alloc.task_states) | set(alloc.allocated_resources.tasks))
    return [task.name for task in sorted(group.tasks, key=lambda task: task.lifecycle is not None)]


def choose_task(alloc: Allocation, job: Job | None, typed: str) -> str:
    """The task meant: the one named, the only one, or the only main one.

    Raises: InvalidInput that lists the tasks.
    """
    names = task_names(alloc, job)
    if typed:
        if names and typed not in names:
            raise NotFound(f'allocation {alloc.id[:8]} has no task "{typed}"; it has: {", ".join(names)}')
        return typed
    group = job.group(alloc.task_group) if job is not None else None
    main = [task.name for task in group.tasks if task.lifecycle is None] if group is not None else names
    if len(names) == 1 or len(main) == 1:
        return (main or names)[0]
    raise InvalidInput(
        f"allocation {alloc.id[:8]} has several tasks; say which with -task: {', '.join(names) or '(none known yet)'}"
    )
