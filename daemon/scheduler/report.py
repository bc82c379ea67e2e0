"""AllocMetric: what was seen for one group, counted from the same masks that decided. Pure.

Theory: each check counts the nodes that it removed first, in order; what is left after all of them and still has no
room counts under the first dimension that is short. The same node is never counted twice.

Source: spec/nomad-surface.md B2; spec/scheduler.md 4.6 (order of dimensions).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from daemon.model.job import Job
from daemon.model.metrics import AllocMetric, NearestMiss, NodeScore
from daemon.scheduler.feasible import Check, cached
from daemon.scheduler.ranker import Ranker
from daemon.scheduler.standing import ORDER
from daemon.scheduler.unit_lack import unit_checks
from daemon.scheduler.working import Working
from daemon.state.columns import Column, Ints, Mask
from daemon.state.deltas import STATE_WORDS
from daemon.state.fleet import RESOURCES, Fleet

_BEST = 5


@dataclass
class GroupView:
    """All that was looked at for one group."""

    job: Job
    group: str
    fleet: Fleet
    #: pool, datacenter, state.
    location: list[Check]
    feasibility: list[Check]
    ranker: Ranker
    #: rows that are in question at all; None: every row.
    only: Mask | None = None


def room_checks(ranker: Ranker) -> list[Check]:
    """Resources and ports as checks, in the order in which a shortage is reported."""
    working = ranker.working
    capacity = working.fleet.capacity
    checks = []
    for i in ORDER:
        fits: Mask = working.used[i] + ranker.ask[i] <= capacity[i]
        checks.append(Check(RESOURCES[i], RESOURCES[i], fits, ranker.ask[i]))
    return [*checks, *port_checks(ranker)]


def port_checks(ranker: Ranker) -> list[Check]:
    """Ports, cores and devices as checks."""
    working, checks = ranker.working, []
    for port in ranker.ports.exclusive:
        free = np.ones(working.fleet.length, dtype=np.bool_)
        free[working.rows_with_port(port.value)] = False
        checks.append(Check("port", f"port {port.value}", free, port.value))
    wanted = len(ranker.ports.dynamic)
    if wanted:
        checks.append(Check("ports", "ports", working.free_dynamic >= wanted, wanted))
    return [*checks, *unit_checks(ranker)]


def distinct_checks(ranker: Ranker, working: Working) -> list[Check]:
    """distinct_hosts and distinct_property as they stand."""
    return [
        Check(
            rule.reason.split(":")[0],
            rule.reason,
            rule.open_rows(working),
            rule,
        )
        for rule in ranker.distinct
    ]


def _tally(column: Column, mask: Mask | Ints) -> dict[str, int]:
    codes = column.codes[mask]
    counts = np.bincount(codes[codes >= 0], minlength=len(column.vocabulary))
    return {column.vocabulary[i] or "(none)": int(counts[i]) for i in np.flatnonzero(counts).tolist()}


def _merge(into: dict[str, int], more: dict[str, int]) -> None:
    for word, count in more.items():
        into[word] = into.get(word, 0) + count


@dataclass(frozen=True)
class _Located:
    """Counts by place and readiness, before anything that a group asks."""

    remaining: Mask
    registered: int
    in_pool: int
    located: int
    evaluated: int
    not_ready: dict[str, int]
    available: dict[str, int]


def _located(view: GroupView) -> _Located:
    fleet = view.fleet
    pool, datacenter, state = (check.mask for check in view.location)
    alive = fleet.alive if view.only is None else fleet.alive & view.only
    in_pool = alive & pool
    located = in_pool & datacenter
    remaining = located & state
    states = np.bincount(fleet.state[located & ~state], minlength=len(STATE_WORDS)).tolist()
    return _Located(
        remaining=remaining,
        registered=int(np.count_nonzero(fleet.alive)),
        in_pool=int(np.count_nonzero(in_pool)),
        located=int(np.count_nonzero(located)),
        evaluated=int(np.count_nonzero(remaining)),
        not_ready={STATE_WORDS[i]: count for i, count in enumerate(states) if count},
        available=_tally(fleet.datacenter, in_pool & state),
    )


def build_metric(
    view: GroupView,
    *,
    coalesced: int = 0,
    nearest: NearestMiss | None = None,
    suggestions: tuple[str, ...] = (),
    with_scores: bool = True,
) -> AllocMetric:
    """Count everything as the plan stands now."""
    fleet = view.fleet
    if view.only is None:
        key = ("located", view.job.node_pool, view.job.datacenters)
        located = cached(fleet, key, lambda: _located(view))
    else:
        located = _located(view)
    remaining = located.remaining
    classes: dict[str, int] = {}
    filtered: dict[str, int] = {}
    by_class = 0
    for check in (*view.feasibility, *distinct_checks(view.ranker, view.ranker.working)):
        removed = remaining & ~check.mask
        count = int(np.count_nonzero(removed))
        if count:
            filtered[check.reason] = filtered.get(check.reason, 0) + count
            _merge(classes, _tally(fleet.node_class, removed))
            if check.by_class and not with_scores:
                by_class += count - len(np.unique(fleet.computed_class.codes[removed]))
            remaining = remaining & check.mask
    exhausted: dict[str, int] = {}
    exhausted_classes: dict[str, int] = {}
    full: Ints = np.flatnonzero(remaining & (view.ranker.left <= 0))
    if len(full):
        short = view.ranker.short(full)
        counts = np.bincount(short + 1, minlength=len(RESOURCES) + 1).tolist()
        exhausted = {RESOURCES[i]: counts[i + 1] for i in ORDER if counts[i + 1]}
        exhausted_classes = _tally(fleet.node_class, full[short >= 0])
        full = full[short < 0]
        for check in port_checks(view.ranker) if len(full) else ():
            short = full[~check.mask[full]]
            if len(short):
                exhausted[check.reason] = exhausted.get(check.reason, 0) + len(short)
                _merge(exhausted_classes, _tally(fleet.node_class, short))
                full = full[check.mask[full]]
    return AllocMetric(
        nodes_registered=located.registered,
        nodes_in_datacenters=located.located,
        nodes_not_ready=located.not_ready,
        nodes_evaluated=located.evaluated,
        nodes_filtered=sum(filtered.values()),
        nodes_class_ineligible=by_class,
        nodes_in_pool=located.in_pool,
        nodes_available=located.available,
        class_filtered=classes,
        constraint_filtered=filtered,
        nodes_exhausted=sum(exhausted.values()),
        class_exhausted=exhausted_classes,
        dimension_exhausted=exhausted,
        score_meta_data=_scores(view.ranker) if with_scores else (),
        coalesced_failures=coalesced,
        nearest_miss=nearest,
        suggestions=suggestions,
    )


def _scores(ranker: Ranker) -> tuple[NodeScore, ...]:
    scores = []
    rows = ranker.best_rows(_BEST)
    for row, parts in zip(rows, ranker.parts(rows), strict=True):
        norm = sum(parts.values()) / len(parts)
        scores.append(NodeScore(node_id=ranker.working.fleet.ids[row], norm_score=norm, scores=parts))
    return tuple(scores)
