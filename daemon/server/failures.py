"""Decaying scores of failures per (node, job) and per node. Pure.

Theory: every failure counts for one and halves with each half-life, so that a score is one figure and a time. A job
that fails on one node speaks against that node; one that fails on many is itself to blame: its weight, at most one
however often it failed, is divided among the nodes by their shares of its failures. A node's score is the sum of these
blames. Launched jobs count as their parent.

Non-goals: what follows for a node (quarantines.py); keeping anything: a new leader reads the stored failures.

Source: users/wants.md 18.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

JobKey = tuple[str, str]
#: a score that has faded to this is forgotten.
FADED = 0.02


@dataclass(slots=True)
class Tally:
    """Failures of one job on one node. `score` is that of `at_ns`."""

    score: float = 0.0
    at_ns: int = 0
    count: int = 0
    first_ns: int = 0
    last_ns: int = 0


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
        #: job -> nodes on which it has a score.
        self._jobs: dict[JobKey, set[str]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._nodes.values()))

    def add(self, node_id: str, job: JobKey, time_ns: int) -> None:
        """One more failure of the job there."""
        tally = self._nodes.setdefault(node_id, {}).setdefault(job, Tally(first_ns=time_ns))
        self._jobs.setdefault(job, set()).add(node_id)
        now_ns = max(tally.at_ns, time_ns)
        # one that is told late has faded a little already.
        tally.score = self._faded(tally, now_ns) + math.exp2((time_ns - now_ns) / self.half_life_ns)
        tally.at_ns, tally.last_ns = now_ns, max(tally.last_ns, time_ns)
        tally.first_ns = min(tally.first_ns, time_ns)
        tally.count += 1

    def retune(self, half_life_ns: int, now_ns: int) -> None:
        """From now on they fade at another pace."""
        for tallies in self._nodes.values():
            for tally in tallies.values():
                tally.score, tally.at_ns = self._faded(tally, now_ns), max(tally.at_ns, now_ns)
        self.half_life_ns = half_life_ns

    def forget_node(self, node_id: str) -> None:
        """What happened there counts no more."""
        for job in self._nodes.pop(node_id, {}):
            self._unlist(job, node_id)

    def prune(self, now_ns: int) -> None:
        """Forget what has faded."""
        for node_id in list(self._nodes):
            tallies = self._nodes[node_id]
            for job in [job for job, tally in tallies.items() if self._faded(tally, now_ns) < FADED]:
                del tallies[job]
                self._unlist(job, node_id)
            if not tallies:
                del self._nodes[node_id]

    def nodes(self) -> list[str]:
        """Nodes with a score, in order."""
        return sorted(self._nodes)

    def of_job(self, job: JobKey, now_ns: int) -> dict[str, float]:
        """Node id -> the job's score there, at most 1, in the order of the ids."""
        found = ((node_id, self._score(node_id, job, now_ns)) for node_id in sorted(self._jobs.get(job, ())))
        return {node_id: min(1.0, score) for node_id, score in found if score >= FADED}

    def blames(self, now_ns: int) -> dict[str, list[Blame]]:
        """Per node what its jobs say against it, the most telling first."""
        totals = {
            job: sum(self._score(node_id, job, now_ns) for node_id in sorted(nodes))
            for job, nodes in self._jobs.items()
        }
        found: dict[str, list[Blame]] = {}
        for node_id, tallies in self._nodes.items():
            scores = ((job, tally, self._faded(tally, now_ns)) for job, tally in tallies.items())
            blames = [
                Blame(job, min(1.0, score) * score / totals[job], tally)
                for job, tally, score in scores
                if score >= FADED
            ]
            found[node_id] = sorted(blames, key=lambda blame: (-blame.weight, blame.job))
        return found

    def _score(self, node_id: str, job: JobKey, now_ns: int) -> float:
        return self._faded(self._nodes[node_id][job], now_ns)

    def _faded(self, tally: Tally, now_ns: int) -> float:
        age_ns = max(0, now_ns - tally.at_ns)
        return tally.score * math.exp2(-age_ns / self.half_life_ns)

    def _unlist(self, job: JobKey, node_id: str) -> None:
        nodes = self._jobs[job]
        nodes.discard(node_id)
        if not nodes:
            del self._jobs[job]
