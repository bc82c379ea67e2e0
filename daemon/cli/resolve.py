"""From what a person typed to one object: exact ids, and unique prefixes of at least two characters.

Raises everywhere: NotFound when nothing matches; InvalidInput with the candidates when several do.
"""

from __future__ import annotations

from collections.abc import Sequence

from daemon.cli.session import Session
from daemon.cli.text import table
from daemon.model.alloc import Allocation
from daemon.model.deployment import Deployment
from daemon.model.errors import InvalidInput, NotFound
from daemon.rpc.messages import JobStub, NodeStub
from daemon.rpc.methods import ALLOC_LIST, DEPLOYMENT_LIST, EVAL_LIST, JOB_LIST, NODE_LIST

_SHOWN = 20
_UUID_CHARS = 36


def pick(typed: str, found: Sequence[tuple[str, ...]], header: Sequence[str], noun: str, lister: str) -> int:
    """Which of the candidates (id first) is meant. Pure."""
    exact = [at for at, row in enumerate(found) if row[0] == typed]
    if len(exact) == 1:
        return exact[0]
    if not found:
        raise NotFound(f'no {noun} has the id or prefix "{typed}"; `{lister}` lists them')
    if len(found) > 1:
        rows = table(header, found[:_SHOWN])
        more = [f"... and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        listed = "\n".join([*rows, *more])
        raise InvalidInput(f'"{typed}" is the prefix of {len(found)} {noun}s; give more of it:\n{listed}')
    return 0


def check_prefix(typed: str, noun: str) -> None:
    """Refuse prefixes that are too short to mean anything."""
    if len(typed) < 2:
        raise InvalidInput(f'"{typed}" is too short: give at least 2 characters of the {noun} id')


def job(session: Session, typed: str) -> JobStub:
    """The job of that id, or the only one whose id begins so. Launched jobs count when nothing else is found."""
    found = [stub for page in session.pages(JOB_LIST, prefix=typed) for stub in page.jobs]
    if not found:
        found = [stub for page in session.pages(JOB_LIST, prefix=typed, children=True) for stub in page.jobs]
    exact = [stub for stub in found if stub.id == typed]
    if len(exact) > 1:
        names = ", ".join(stub.namespace for stub in exact)
        raise InvalidInput(f'job "{typed}" exists in the namespaces {names}; say which with -namespace')
    at = pick(
        typed,
        [(stub.id, stub.type, stub.status, stub.namespace) for stub in found],
        ("ID", "Type", "Status", "Namespace"),
        "job",
        "encamp job status",
    )
    return found[at]


def allocation(session: Session, typed: str) -> Allocation:
    """The allocation of that id or prefix, without its metrics."""
    check_prefix(typed, "allocation")
    found = [each for page in session.pages(ALLOC_LIST, prefix=typed) for each in page.allocations]
    at = pick(
        typed,
        [(each.id, each.job_id, each.task_group, each.client_status) for each in found],
        ("ID", "Job", "Task Group", "Status"),
        "allocation",
        "encamp job status JOB",
    )
    return found[at]


def eval_id(session: Session, typed: str) -> str:
    """The full id of an evaluation."""
    if len(typed) == _UUID_CHARS:
        return typed
    check_prefix(typed, "evaluation")
    found = [each for page in session.pages(EVAL_LIST, prefix=typed) for each in page.evaluations]
    at = pick(
        typed,
        [(each.id, each.job_id, each.triggered_by, each.status) for each in found],
        ("ID", "Job", "Triggered By", "Status"),
        "evaluation",
        "encamp eval list",
    )
    return found[at].id


def deployment(session: Session, typed: str) -> Deployment:
    """The deployment of that id or prefix."""
    check_prefix(typed, "deployment")
    found = [row for page in session.pages(DEPLOYMENT_LIST, prefix=typed) for row in page.deployments]
    at = pick(
        typed,
        [(row.id, row.job_id, str(row.job_version), row.status) for row in found],
        ("ID", "Job", "Version", "Status"),
        "deployment",
        "encamp deployment list",
    )
    return found[at]


def node(session: Session, typed: str) -> NodeStub:
    """The node of that id, prefix, or name."""
    check_prefix(typed, "node")
    found = [stub for page in session.pages(NODE_LIST, prefix=typed) for stub in page.nodes]
    if not found:
        found = [stub for page in session.pages(NODE_LIST) for stub in page.nodes if stub.name == typed]
    at = pick(
        typed,
        [(stub.id, stub.name, stub.datacenter, stub.status) for stub in found],
        ("ID", "Name", "DC", "Status"),
        "node",
        "encamp node status",
    )
    return found[at]
