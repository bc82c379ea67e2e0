"""Placing the decisions of one group: nodes, ports, ids; and the reasons where it fails. Pure.

Theory: order is destructive updates, replacements, canaries, fresh placements. A tied predecessor is stopped for the
plan's arithmetic while its successor looks for a node, and only for it: if the successor is refused later, the
predecessor goes on, so that nobody else may build on its room. Fresh placements are taken in bulk and leave as blocks.

Source: spec/scheduler.md 3.3, 5, 6.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from daemon.model.alloc import Allocation, AllocBlock
from daemon.model.enums import DesiredStatus
from daemon.model.job import Job, TaskGroup
from daemon.model.metrics import AllocMetric, NodeScore
from daemon.model.plan import AllocMark, AllocStop, EvalInput
from daemon.scheduler import reschedule
from daemon.scheduler.blocks import block_of, row_of
from daemon.scheduler.decision import GroupDecision, Replace
from daemon.scheduler.distinct import distinct_rules
from daemon.scheduler.feasible import Check, conjunction, feasibility_checks, location_checks
from daemon.scheduler.ids import Ids
from daemon.scheduler.nearest import Shortfall
from daemon.scheduler.ports import choose_ports, port_ask
from daemon.scheduler.preempt import Found, Preemption, enabled
from daemon.scheduler.ranker import Ranker
from daemon.scheduler.report import GroupView, build_metric
from daemon.scheduler.score import CLOSED
from daemon.scheduler.unit_ask import unit_ask
from daemon.scheduler.usage import group_resources
from daemon.scheduler.volumes import GroupVolumes
from daemon.scheduler.wishes import Wishes, wishes_of
from daemon.scheduler.working import Working
from daemon.state.columns import Mask
from daemon.state.deltas import amounts
from daemon.state.fleet import Fleet

#: entries of the log are bounded; a larger group leaves as several blocks, which can be committed apart.
BLOCK_ROWS = 8192


@dataclass
class Placed:
    """What came of one group."""

    blocks: list[AllocBlock] = field(default_factory=list)
    allocs: list[Allocation] = field(default_factory=list)
    stops: list[AllocStop] = field(default_factory=list)
    marks: list[AllocMark] = field(default_factory=list)
    #: allocations of others that are ended to make room.
    evicted: int = 0
    failed: int = 0
    metric: AllocMetric | None = None
    eligibility: list[Check] = field(default_factory=list)


class Placer:
    """Places groups of one job on one fleet, one after the other."""

    def __init__(
        self,
        input_: EvalInput,
        job: Job,
        fleet: Fleet,
        ids: Ids,
        working: Working | None = None,
        preemption: Preemption | None = None,
    ) -> None:
        self.input = input_
        self.job = job
        self.fleet = fleet
        self.ids = ids
        #: the rollout that placements join.
        self.deployment_id = ""
        self.working = working or Working(fleet, input_.allocs)
        if preemption is None and enabled(input_.config.preemption_config, job):
            preemption = Preemption(input_, self.working)
        self.preemption = preemption
        self.location = location_checks(job, fleet)
        self.volumes = GroupVolumes(input_, job, fleet)
        self._checks: dict[str, list[Check]] = {}
        self._wishes: dict[str, Wishes] = {}

    def of_version(self, job: Job) -> Placer:
        """A placer for another version of the job, in the same plan."""
        return Placer(self.input, job, self.fleet, self.ids, self.working, self.preemption)

    def feasibility(self, group: TaskGroup) -> list[Check]:
        """The group's checks of nodes, evaluated once."""
        checks = self._checks.get(group.name)
        if checks is None:
            checks = feasibility_checks(self.job, group, self.fleet)
            checks = self._checks[group.name] = [*checks, *self.volumes.checks(group)]
        return checks

    def _wishes_of(self, group: TaskGroup) -> Wishes:
        wishes = self._wishes.get(group.name)
        if wishes is None:
            wishes = self._wishes[group.name] = wishes_of(
                self.job, group, self.fleet, self.input.config, self.input.failures
            )
        return wishes

    def serves(self, alloc: Allocation, group: TaskGroup) -> bool:
        """True when the allocation's node can go on holding it under the newest spec."""
        row = self.working.row(alloc.node_id)
        if row < 0 or not self.fleet.alive[row]:
            return False
        checks = (*self.location[:2], *self.feasibility(group))
        if not all(check.mask[row] for check in checks):
            return False
        return bool((self.working.staying(row) <= self.fleet.capacity[:, row]).all())

    def view(
        self,
        group: TaskGroup,
        only: Mask | None = None,
        *,
        one_a_row: bool = False,
        besides: Sequence[Check] = (),
    ) -> GroupView:
        """Masks and ranks of a group as the plan stands. `only` narrows the rows, `besides` says why."""
        checks = [*self.feasibility(group), *besides]
        mask = conjunction(self.fleet, (*self.location, *checks))
        if only is not None:
            mask = mask & only
        resources = group_resources(group, self.input.config)
        ranker = Ranker(
            self.working,
            group.name,
            mask=mask,
            ask=amounts(resources.usage),
            desired=group.count,
            ports=port_ask(group),
            distinct=distinct_rules(self.job, group, self.working),
            wishes=self._wishes_of(group),
            one_a_row=one_a_row,
            units=unit_ask(group),
        )
        return GroupView(self.job, group.name, self.fleet, self.location, checks, ranker, only)

    def place(self, group: TaskGroup, decision: GroupDecision) -> Placed:
        """Find nodes for everything that the decision asks for."""
        placed = Placed()
        if not decision.placements:
            return placed
        view = self.view(group)
        metric = build_metric(view)
        if self.volumes.by_one(group):
            view = self._by_volume(group, decision, view, metric, placed)
        else:
            self._place_all(group, decision, view, metric, placed)
        if self.preemption is not None and (placed.failed or placed.evicted):
            # the best of all that would serve is wanted, not the first that is seen.
            self.preemption.want(view)
        if placed.failed:
            placed.metric = explained(view, placed.failed - 1)
            placed.eligibility = [*self.location, *view.feasibility]
        return placed

    def _place_all(
        self, group: TaskGroup, decision: GroupDecision, view: GroupView, metric: AllocMetric, placed: Placed
    ) -> None:
        for request in (*decision.destructive, *decision.replacements):
            self._replace(group, view, request, metric, placed)
        if decision.canaries:
            self._fresh(group, view, decision.canaries, metric, placed, canary=True)
        if decision.fresh:
            self._fresh(group, view, decision.fresh, metric, placed)

    def _by_volume(
        self, group: TaskGroup, decision: GroupDecision, view: GroupView, metric: AllocMetric, placed: Placed
    ) -> GroupView:
        """Place one after the other, each on the nodes that have its volumes. The view of the last that failed."""
        for request in (*decision.destructive, *decision.replacements):
            failed, previous = placed.failed, request.previous
            own = self.view(group, besides=self.volumes.own(group, request.index, previous))
            self._replace(group, own, request, metric, placed)
            if placed.failed == failed:
                self.volumes.took(group, placed.allocs[-1], previous)
            else:
                view = own
        fresh = [(index, True) for index in decision.canaries] + [(index, False) for index in decision.fresh]
        for index, canary in fresh:
            failed = placed.failed
            own = self.view(group, besides=self.volumes.own(group, index, None))
            self._fresh_by_one(group, own.ranker, [index], metric, placed, canary=canary)
            if placed.failed == failed:
                self.volumes.took(group, placed.allocs[-1], None)
            else:
                view = own
        return view

    def _replace(
        self, group: TaskGroup, view: GroupView, request: Replace, metric: AllocMetric, placed: Placed
    ) -> None:
        row = -1 if request.tied else self._pick(group, view.ranker, request)
        if self.replace_at(group, view.ranker, request, row, metric, placed):
            return
        placed.failed += 1
        if request.reschedule:
            tracker = reschedule.tracker_without_placement(request.previous)
            if tracker != request.previous.reschedule_tracker:
                placed.marks.append(AllocMark(alloc_id=request.previous.id, reschedule_tracker=tracker))

    def replace_at(
        self,
        group: TaskGroup,
        ranker: Ranker,
        request: Replace,
        row: int,
        metric: AllocMetric,
        placed: Placed,
    ) -> bool:
        """Place a replacement on `row` (a tied one with -1: on the best). False, and nothing changed, if not."""
        previous = request.previous
        freed = self.working.stop(previous) if request.tied else -1
        if freed >= 0:
            ranker.changed(freed)
        if row < 0 and request.tied:
            row = self._pick(group, ranker, request)
        room = None
        if row < 0 or ranker.keys[row] == CLOSED:
            room = self._make_room(ranker, row, self._penalised(request))
        if room is not None:
            row = room.row
        fits = row >= 0 and ranker.keys[row] != CLOSED
        ports = choose_ports(self.working, row, ranker.ports, self.ids) if fits else None
        given = ranker.given(row) if fits else None
        if ports is None or given is None:
            if freed >= 0:
                ranker.changed(self.working.unstop(previous))
            return False
        ask = ranker.ask_at(row)
        self.working.place(row, group.name, ask, (port.value for port in ports), given.names())
        if freed >= 0:
            self.working.close_pair(previous, row, ask)
            ranker.changed(freed)
        ranker.changed(row)
        alloc = row_of(self, group, request, row, ports, given, metric)
        if room is not None:
            alloc = self._preempting(alloc, room, placed)
        placed.allocs.append(alloc)
        if request.tied:
            placed.stops.append(
                AllocStop(
                    alloc_id=previous.id,
                    node_id=previous.node_id,
                    desired_description=request.description,
                    replaced_by=alloc.id,
                )
            )
        return True

    def _make_room(self, ranker: Ranker, row: int, penalised: Iterable[int]) -> Found | None:
        """End less important work on `row`, or (-1) on the best node; None where that helps nothing."""
        if self.preemption is None:
            return None
        if row < 0:
            room = self.preemption.best(ranker, penalised)
        else:
            victims = self.preemption.at(ranker, row)
            parts = self.preemption.parts(ranker, row, victims) if victims else {}
            room = Found(row, victims, parts) if victims else None
        if room is not None:
            self.preemption.evict(room.row, room.victims)
            ranker.changed(room.row)
        return room

    def _preempting(self, alloc: Allocation, room: Found, placed: Placed) -> Allocation:
        """The allocation that takes the room, with its victims' ends in the plan."""
        placed.evicted += len(room.victims)
        words = f'makes room for job "{self.job.id}" of priority {self.job.priority}'
        placed.stops.extend(
            AllocStop(
                alloc_id=victim.alloc_id,
                node_id=alloc.node_id,
                desired_status=DesiredStatus.EVICT,
                desired_description=words,
                replaced_by=alloc.id,
            )
            for victim in room.victims
        )
        norm = sum(room.parts.values()) / len(room.parts)
        score = NodeScore(node_id=alloc.node_id, norm_score=norm, scores=room.parts)
        metrics = msgspec.structs.replace(alloc.metrics or AllocMetric(), score_meta_data=(score,))
        preempted = tuple(victim.alloc_id for victim in room.victims)
        return msgspec.structs.replace(alloc, preempted_allocations=preempted, metrics=metrics)

    def _penalised(self, request: Replace) -> list[int]:
        """Rows on which it failed before."""
        nodes = reschedule.penalised_nodes(request.previous) if request.reschedule else ()
        return [self.working.row(node) for node in nodes]

    def _pick(self, group: TaskGroup, ranker: Ranker, request: Replace) -> int:
        previous = self.working.row(request.previous.node_id)
        if request.reschedule:
            return ranker.pick(self._penalised(request))
        return ranker.pick(preferred=previous if group.ephemeral_disk.sticky else -1)

    def _fresh(
        self,
        group: TaskGroup,
        view: GroupView,
        indexes: list[int],
        metric: AllocMetric,
        placed: Placed,
        *,
        canary: bool = False,
    ) -> None:
        ranker = view.ranker
        if ranker.units:
            self._fresh_by_one(group, ranker, indexes, metric, placed, canary=canary)
            return
        rows = ranker.take(len(indexes))
        for start in range(0, len(rows), BLOCK_ROWS):
            part = slice(start, min(start + BLOCK_ROWS, len(rows)))
            block = block_of(self, group, rows[part], indexes[part], ranker, metric, canary=canary)
            placed.blocks.append(block)
        rest = indexes[len(rows) :]
        if rest and self.preemption is not None and self.preemption.known:
            ranker.refresh()
        for index in rest:
            if not self.push_out(group, ranker, -1, index, metric, placed, canary=canary):
                placed.failed += 1

    def _fresh_by_one(
        self,
        group: TaskGroup,
        ranker: Ranker,
        indexes: list[int],
        metric: AllocMetric,
        placed: Placed,
        *,
        canary: bool = False,
    ) -> None:
        """Groups of which each allocation is given its own: cores, devices, volumes."""
        for index in indexes:
            row = ranker.pick()
            if row >= 0:
                self.one_at(group, ranker, row, index, metric, placed, canary=canary)
            elif not self.push_out(group, ranker, -1, index, metric, placed, canary=canary):
                placed.failed += 1

    def one_at(
        self,
        group: TaskGroup,
        ranker: Ranker,
        row: int,
        index: int,
        metric: AllocMetric,
        placed: Placed,
        *,
        canary: bool = False,
    ) -> None:
        """Place one on a row that can take it."""
        placed.allocs.append(block_of(self, group, [row], [index], ranker, metric, canary=canary).row(0))
        ranker.changed(row)

    def push_out(
        self,
        group: TaskGroup,
        ranker: Ranker,
        row: int,
        index: int,
        metric: AllocMetric,
        placed: Placed,
        *,
        canary: bool = False,
    ) -> bool:
        """Place one by ending less important work on `row` (-1: on the best). False, and nothing changed, if not."""
        if self.preemption is None or not self.preemption.known:
            return False
        fits = row < 0 and (row := ranker.pick()) >= 0
        room = None if fits else self._make_room(ranker, row, ())
        if room is None and not fits:
            return False
        at = room.row if room is not None else row
        alloc = block_of(self, group, [at], [index], ranker, metric, canary=canary).row(0)
        ranker.changed(at)
        placed.allocs.append(alloc if room is None else self._preempting(alloc, room, placed))
        return True


def explained(view: GroupView, coalesced: int) -> AllocMetric:
    """Metric of a failure, with the nearest miss and what would help."""
    view.ranker.refresh()
    shortfall = Shortfall(view)
    return build_metric(
        view,
        coalesced=coalesced,
        nearest=shortfall.nearest(),
        suggestions=shortfall.suggestions(),
        with_scores=False,
    )
