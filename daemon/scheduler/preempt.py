"""Preemption: where nothing fits any more, room is made by ending less important work. Pure.

Theory: the fleet's columns say how full a node is, not by whom. A pass that would like to preempt therefore names
the nodes it wants to know (`wanted`), and the server hands the evaluation out again with their less important
allocations. With them, every node that is known is scored as any other, with what its victims are worth as one more
part; the best one is taken. Nodes that miss least are asked for first, some at a time, up to a limit.

Source: spec/scheduler.md 5.4; docs/decisions/preemption-in-rounds.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from daemon.model.enums import JobType
from daemon.model.job import Job
from daemon.model.plan import EvalInput, Neighbour
from daemon.model.scheduler_config import PreemptionConfig
from daemon.scheduler.ranker import Ranker
from daemon.scheduler.report import GroupView, distinct_checks
from daemon.scheduler.score import steps
from daemon.scheduler.unit_victims import unit_victims
from daemon.scheduler.victims import choose_victims, preemption_score
from daemon.scheduler.working import Working
from daemon.state.columns import Ints
from daemon.state.deltas import amounts

PREEMPTION = "preemption"
#: nodes asked for in one round, and those that one group looks at in all (system jobs: every node).
NODES_A_ROUND = 256
NODES_MAX = 1024


def enabled(config: PreemptionConfig, job: Job) -> bool:
    """True when jobs of this type may make room for themselves."""
    return {
        JobType.SYSTEM: config.system_scheduler_enabled,
        JobType.SYSBATCH: config.sysbatch_scheduler_enabled,
        JobType.BATCH: config.batch_scheduler_enabled,
        JobType.SERVICE: config.service_scheduler_enabled,
    }[job.type]


class Found(NamedTuple):
    """A node, who has to go there, and the parts of its score."""

    row: int
    victims: list[Neighbour]
    parts: dict[str, float]


class Preemption:
    """The neighbours that a pass knows, and whom it has ended already."""

    def __init__(self, input_: EvalInput, working: Working) -> None:
        self.working = working
        self.known: dict[int, list[Neighbour]] = {
            row: list(held) for node, held in input_.neighbours.items() if (row := working.row(node)) >= 0
        }
        self.gone: dict[tuple[str, str, str], int] = {}
        #: nodes whose allocations should be seen.
        self.wanted: dict[str, None] = {}

    def at(self, ranker: Ranker, row: int) -> list[Neighbour] | None:
        """Who has to go on the row so that one more fits; None: that cannot be, or the row is not known."""
        held = self.known.get(row)
        if not held or not ranker.mask[row] or not ranker.is_open(row):
            return None
        working = self.working
        ports = [port.value for port in ranker.ports.exclusive if working.port_taken(row, port.value)]
        free = (working.fleet.capacity[:, row] - working.used[:, row]).tolist()
        holders = unit_victims(working, row, ranker.units, held)
        if holders is None:
            return None
        victims = choose_victims(ranker.ask_at(row), free, ports, held, self.gone, holders)
        if not victims:
            return None
        low, high = int(working.fleet.port_min[row]), int(working.fleet.port_max[row])
        dynamic = sum(low <= port <= high for victim in victims for port in victim.ports)
        return victims if int(working.free_dynamic[row]) + dynamic >= ranker.numbers(row) else None

    def best(self, ranker: Ranker, penalised: Iterable[int] = ()) -> Found | None:
        """The known node with the highest score."""
        worse, best = set(penalised), None
        for row in sorted(self.known):
            victims = self.at(ranker, row)
            if victims is None:
                continue
            parts = self.parts(ranker, row, victims)
            if row in worse:
                parts["node-reschedule-penalty"] = -1.0
            key = (-steps(sum(parts.values()) / len(parts)), int(ranker.ties[row]))
            if best is None or key < best[0]:
                best = (key, Found(row, victims, parts))
        return best[1] if best is not None else None

    def parts(self, ranker: Ranker, row: int, victims: list[Neighbour]) -> dict[str, float]:
        """The parts of the row's score once the victims are gone."""
        freed = [sum(amounts(victim.usage)[i] for victim in victims) for i in range(2)]
        [parts] = ranker.parts([row], (freed[0], freed[1]))
        parts[PREEMPTION] = preemption_score(victims)
        return parts

    def evict(self, row: int, victims: list[Neighbour]) -> None:
        """They go: their room and ports are the plan's."""
        for victim in victims:
            self.working.free(row, amounts(victim.usage), victim.ports, victim.units)
            self.known[row].remove(victim)
            self.gone[victim.group_key] = self.gone.get(victim.group_key, 0) + 1

    def want(self, view: GroupView) -> None:
        """Ask for the allocations of nodes that would serve and are full."""
        ranker, working, fleet = view.ranker, self.working, view.fleet
        mask = ranker.mask & (ranker.left <= 0)
        for check in distinct_checks(ranker, working):
            mask = mask & check.mask
        ask = np.array(ranker.ask, dtype=np.int64)[:, None]
        mask = mask & (fleet.capacity >= ask).all(axis=0)
        rows = np.flatnonzero(mask)
        known = np.isin(rows, list(self.known))
        room = NODES_MAX - int(np.count_nonzero(known))
        self.want_rows(ranker, rows[~known], room)

    def want_rows(self, ranker: Ranker, rows: Ints, room: int = NODES_A_ROUND) -> None:
        """The same for some rows, those that miss least first."""
        rows = rows[[int(row) not in self.known for row in rows]]
        missing = np.zeros(len(rows), dtype=np.float64)
        for i in range(3):
            if ranker.ask[i] > 0:
                free = self.working.fleet.capacity[i, rows] - self.working.used[i, rows]
                missing += np.maximum(0, ranker.ask[i] - free) / ranker.ask[i]
        worth = np.zeros(len(rows)) if ranker.worth is None else -ranker.worth[rows]
        order = np.lexsort((ranker.ties[rows], missing, worth))
        for row in rows[order][: max(0, min(room, NODES_A_ROUND - len(self.wanted)))].tolist():
            self.wanted[self.working.fleet.ids[row]] = None
