"""Jobs as tables: the list, and one job with its groups and allocations. Pure.

Source: spec/nomad-surface.md E, row 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo

from daemon.cli.text import Cell, age, iso, pairs, short, status, table
from daemon.model.alloc import Allocation
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job
from daemon.rpc.messages import JobStub, JobSummary


def status_word(word: str, stop: bool) -> Cell:
    """The status, with the reason of a job that was stopped by hand."""
    return f"{word} (stopped)" if stop and word == "dead" else status(word)


def job_list(
    stubs: Sequence[JobStub], *, all_namespaces: bool, color: bool = False, zone: tzinfo | None = None
) -> list[str]:
    """The table of jobs. Children of periodic and parameterized jobs are not listed."""
    shown = [stub for stub in stubs if not stub.parent_id]
    if not shown:
        return ["No running jobs"]
    header = ["ID", "Type", "Priority", "Status", "Submit Date"]
    rows: list[list[Cell]] = [
        [
            stub.id,
            stub.type,
            str(stub.priority),
            status_word(stub.status, stub.stop),
            iso(stub.submit_time_ns, zone),
        ]
        for stub in shown
    ]
    if all_namespaces:
        header.insert(1, "Namespace")
        for row, stub in zip(rows, shown, strict=True):
            row.insert(1, stub.namespace)
    return table(header, rows, color=color)


def job_pairs(job: Job, *, color: bool = False, zone: tzinfo | None = None) -> list[str]:
    """The facts of one job."""
    items: list[tuple[str, Cell]] = [
        ("ID", job.id),
        ("Name", job.name or job.id),
        ("Submit Date", iso(job.submit_time_ns, zone)),
        ("Type", job.type),
        ("Priority", str(job.priority)),
        ("Datacenters", ",".join(job.datacenters)),
        ("Namespace", job.namespace),
        ("Node Pool", job.node_pool),
        ("Version", str(job.version)),
        ("Status", status_word(job.status, job.stop)),
    ]
    if job.status_description:
        items.append(("Status Description", job.status_description))
    if job.periodic is not None:
        items.append(("Periodic", "; ".join(job.periodic.specs)))
    if job.parameterized_job is not None:
        items.append(("Parameterized", "true"))
    return pairs(items, color=color)


def summary(groups: Mapping[str, JobSummary], *, color: bool = False) -> list[str]:
    """Counts of the groups' allocations."""
    header = ("Task Group", "Queued", "Starting", "Running", "Failed", "Complete", "Lost", "Unknown")
    rows = [
        [name, *(str(n) for n in (g.queued, g.starting, g.running, g.failed, g.complete, g.lost, g.unknown))]
        for name, g in sorted(groups.items())
    ]
    return table(header, rows, color=color) if rows else []


def alloc_table(
    allocs: Iterable[Allocation],
    now_ns: int,
    *,
    verbose: bool = False,
    color: bool = False,
    by_node: bool = False,
) -> list[str]:
    """Allocations of a job (or, `by_node`, of a node), as they are given."""
    header = [
        "ID",
        "Job" if by_node else "Node ID",
        "Task Group",
        "Version",
        "Desired",
        "Status",
        "Created",
        "Modified",
    ]
    if verbose:
        header[1:1] = ["Eval ID", "Node Name"]
    rows: list[list[Cell]] = []
    for alloc in allocs:
        row: list[Cell] = [
            short(alloc.id, verbose),
            alloc.job_id if by_node else short(alloc.node_id, verbose),
            alloc.task_group,
            str(alloc.job_version),
            str(alloc.desired_status),
            status(alloc.client_status),
            age(alloc.create_time_ns, now_ns),
            age(alloc.modify_time_ns, now_ns),
        ]
        if verbose:
            row[1:1] = [alloc.eval_id, alloc.node_name]
        rows.append(row)
    return table(header, rows, color=color) if rows else []


def eval_table(evals: Iterable[Evaluation], *, verbose: bool = False, color: bool = False) -> list[str]:
    """Evaluations of one job."""
    rows: list[list[Cell]] = [
        [
            short(each.id, verbose),
            str(each.priority),
            str(each.triggered_by),
            status(each.status),
            "true" if each.failed_tg_allocs else "false",
        ]
        for each in evals
    ]
    header = ("ID", "Priority", "Triggered By", "Status", "Placement Failures")
    return table(header, rows, color=color) if rows else []


def placement_failure(evals: Iterable[Evaluation]) -> Evaluation | None:
    """The newest blocked evaluation, which says what is still missing, else None. Newest come first."""
    listed = list(evals)
    blocked = [each for each in listed if each.status == "blocked"]
    return blocked[0] if blocked and blocked[0].failed_tg_allocs else None
