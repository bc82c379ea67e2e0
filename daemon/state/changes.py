"""Changes: what one log entry did to the state; the only signal between server components.

Theory: one ordered batch an entry, per block and never per allocation, handed synchronously to a fixed list of
consumers. Each list holds (before, after): before None is new, after None is gone; an object that an entry
changes twice appears once. `reset` says: forget what you know and read the state anew.
Non-goals: keeping history (a bounded ring does that, in the server).
Pure.

Source: architecture.md section 3.
"""

from __future__ import annotations

from daemon.model.alloc import Allocation, AllocBlock
from daemon.model.base import Wire
from daemon.model.deployment import Deployment
from daemon.model.errors import EncampError
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job
from daemon.model.node import Node

#: names of the tables, as `State.table_index` takes them.
TABLES = (
    "cluster", "jobs", "nodes", "evals", "allocs", "summaries", "launches", "deployments", "scaling", "settings",
    "volumes",
)  # fmt: skip


class JobRegistered(Wire, frozen=True, kw_only=True):
    """Result of JobRegister and JobDeregister. `changed`: a new version was made (or the job purged)."""

    job_modify_index: int
    version: int
    changed: bool
    eval_id: str = ""


class PlanApplied(Wire, frozen=True, kw_only=True):
    """Result of PlanApply. When not `full`, the outcome of the evaluation itself was not stored."""

    full: bool
    placed: int
    eval_id: str = ""


class Launched(Wire, frozen=True, kw_only=True):
    """Result of PeriodicLaunch and JobDispatch. `existing`: the child was there; `skipped`: why there is none."""

    job_id: str = ""
    eval_id: str = ""
    create_index: int = 0
    existing: bool = False
    skipped: str = ""


class DeploymentChanged(Wire, frozen=True, kw_only=True):
    """Result of a change to a deployment. `reverted_version`: the version that its job went back to; -1: none."""

    deployment_id: str
    eval_id: str = ""
    reverted_version: int = -1


Result = JobRegistered | PlanApplied | Launched | DeploymentChanged | EncampError | None


class Changes:
    """What one entry changed, in order; `result` is for its proposer, `dropped` says what was left out."""

    __slots__ = (
        "allocs",
        "blocks",
        "deployments",
        "dropped",
        "evals",
        "index",
        "jobs",
        "nodes",
        "reset",
        "result",
        "tables",
        "time_ns",
    )

    def __init__(self, index: int, time_ns: int, *, reset: bool = False) -> None:
        self.index = index
        self.time_ns = time_ns
        self.reset = reset
        #: names of the tables touched, in the order of TABLES.
        self.tables: tuple[str, ...] = ()
        self.nodes: list[tuple[Node | None, Node | None]] = []
        self.jobs: list[tuple[Job | None, Job | None]] = []
        self.evals: list[tuple[Evaluation | None, Evaluation | None]] = []
        self.allocs: list[tuple[Allocation | None, Allocation | None]] = []
        self.deployments: list[tuple[Deployment | None, Deployment | None]] = []
        #: fresh placements, as applied (without the rows that were dropped).
        self.blocks: list[AllocBlock] = []
        #: what the proposer learns; an EncampError: nothing was applied.
        self.result: Result = None
        #: node id, allocation id, evaluation id, or `namespace/job` -> why that part was left out.
        self.dropped: dict[str, str] = {}

    @property
    def empty(self) -> bool:
        """True when nothing changed."""
        return not self.tables and not self.reset

    def __repr__(self) -> str:
        """For logs and failing tests."""
        return (
            f"Changes(index={self.index}, tables={self.tables}, nodes={len(self.nodes)}, "
            f"jobs={len(self.jobs)}, evals={len(self.evals)}, allocs={len(self.allocs)}, "
            f"deployments={len(self.deployments)}, blocks={len(self.blocks)}, reset={self.reset}, "
            f"result={self.result!r}, dropped={self.dropped})"
        )
