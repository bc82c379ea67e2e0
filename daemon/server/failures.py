"""Decaying scores of failures per (node, job) and per node. Pure.

Theory: every failure counts for one and halves with each half-life, so that a score is one figure and a time. A job
that fails on one node speaks against that node; one that fails on many is itself to blame: its weight, at most one
however often it failed, is divided among the nodes by their shares of its failures. A node's score is the sum of these
blames. Launched jobs count as their parent.

All scores fade alike, so that a job's sum over the nodes is kept as one more figure, and what is said against a node
grows by failures only: between two looks only the nodes that were touched need to be looked at.

Non-goals: what follows for a node (quarantines.py); keeping anything: a new leader reads the stored failures.

Source: users/wants.md 18.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

JobKey = tuple[str, str]
#: a score that has faded to this is forgotten.
FADED = 0.02
PRUNED_AT_ONCE = 512


@dataclass(slots=True)
class Tally:
    """Failures of one job on one node. `score` is that of `at_ns`."""

    score: float = 0.0
    at_ns: int = 0
    count: int = 0
    first_ns: int = 0
    last_ns: int = 0

    def faded(self, now_ns: int, half_life_ns: int) -> float:
        """The score as of now."""
        return self.score * math.exp2(-max(0, now_ns - self.at_ns) / half_life_ns)

    def add(self, score: float, time_ns: int, half_life_ns: int) -> None:
        """Add what was worth that much at that time; less than 0: take it away."""
        now_ns = max(self.at_ns, time_ns)
        # one that is told late has faded a little already.
        late = math.exp2((time_ns - now_ns) / half_life_ns)
        self.score = max(0.0, self.faded(now_ns, half_life_ns) + score * late)
        self.at_ns = now_ns


@dataclass
class _OfJob:
    """A job's sum over the nodes on which it has a score."""

    total: Tally = field(default_factory=Tally)
    nodes: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Blame:
    """What one job says against a node, 0 to 1."""

    job: JobKey
    weight: float
    tally: Tally


class FailureScores:
    """The scores of all nodes and jobs."""

    def __init__(self, half_life_ns: int) -> None:
        self.half_life_ns = half_life_ns
        self._nodes: dict[str, dict[JobKey, Tally]] = {}
        self._jobs: dict[JobKey, _OfJob] = {}
        #: nodes with failures since they were last taken.
        self._touched: set[str] = set()
        #: nodes that the round of pruning has not come to yet.
        self._unpruned: list[str] = []

    def __len__(self) -> int:
        return sum(map(len, self._nodes.values()))

    def add(self, node_id: str, job: JobKey, time_ns: int) -> None:
        """One more failure of the job there."""
        tally = self._nodes.setdefault(node_id, {}).setdefault(job, Tally(first_ns=time_ns))
        of_job = self._jobs.setdefault(job, _OfJob())
        of_job.nodes.add(node_id)
        for each in (tally, of_job.total):
            each.add(1.0, time_ns, self.half_life_ns)
        tally.first_ns, tally.last_ns = min(tally.first_ns, time_ns), max(tally.last_ns, time_ns)
        tally.count += 1
        self._touched.add(node_id)

    def retune(self, half_life_ns: int, now_ns: int) -> None:
        """From now on they fade at another pace."""
        of_nodes = [tally for tallies in self._nodes.values() for tally in tallies.values()]
        for tally in (*of_nodes, *(of_job.total for of_job in self._jobs.values())):
            tally.score, tally.at_ns = self._faded(tally, now_ns), max(tally.at_ns, now_ns)
        self.half_life_ns = half_life_ns

    def forget_node(self, node_id: str) -> None:
        """What happened there counts no more."""
        for job, tally in self._nodes.pop(node_id, {}).items():
            self._unlist(job, node_id, tally)

    def prune(self, now_ns: int) -> None:
        """Forget what has faded; a few nodes at a time, round and round."""
        if not self._unpruned:
            self._unpruned = list(self._nodes)
        for node_id in self._unpruned[-PRUNED_AT_ONCE:]:
            tallies = self._nodes.get(node_id, {})
            for job in [job for job, tally in tallies.items() if self._faded(tally, now_ns) < FADED]:
                self._unlist(job, node_id, tallies.pop(job))
            if not tallies:
                self._nodes.pop(node_id, None)
        del self._unpruned[-PRUNED_AT_ONCE:]

    def nodes(self) -> list[str]:
        """Nodes with a score, in order."""
        return sorted(self._nodes)

    def take_touched(self) -> set[str]:
        """Nodes with failures since the last call."""
        touched, self._touched = self._touched, set()
        return touched

    def of_job(self, job: JobKey, now_ns: int) -> dict[str, float]:
        """Node id -> the job's score there, at most 1, in the order of the ids."""
        of_job = self._jobs.get(job)
        if of_job is None:
            return {}
        tallies = ((node_id, self._nodes[node_id][job]) for node_id in sorted(of_job.nodes))
        found = ((node_id, self._faded(tally, now_ns)) for node_id, tally in tallies)
        return {node_id: min(1.0, score) for node_id, score in found if score >= FADED}

    def blames(self, node_id: str, now_ns: int) -> list[Blame]:
        """What its jobs say against a node, the most telling first."""
        found = []
        for job, tally in self._nodes.get(node_id, {}).items():
            score = self._faded(tally, now_ns)
            if score >= FADED:
                # sums are rounded: a share is never more than all.
                share = min(1.0, score / self._faded(self._jobs[job].total, now_ns))
                found.append(Blame(job, min(1.0, score) * share, tally))
        return sorted(found, key=lambda blame: (-blame.weight, blame.job))

    def _faded(self, tally: Tally, now_ns: int) -> float:
        return tally.faded(now_ns, self.half_life_ns)

    def _unlist(self, job: JobKey, node_id: str, tally: Tally) -> None:
        of_job = self._jobs[job]
        of_job.nodes.discard(node_id)
        of_job.total.add(-tally.score, tally.at_ns, self.half_life_ns)
        if not of_job.nodes:
            del self._jobs[job]
