"""Why a group was, or was not, placed: counts, and the explanation in plain words. Pure.

Source: spec/nomad-surface.md B2 (AllocMetric); users/wants.md 1, 2.
"""

from __future__ import annotations

from daemon.model.base import Wire


class NodeScore(Wire, frozen=True, kw_only=True):
    """Scores of one node, for the best five."""

    node_id: str
    norm_score: float
    scores: dict[str, float] = {}


class NearestMiss(Wire, frozen=True, kw_only=True):
    """The node that came closest, and all that it lacks: (what, has, needs)."""

    node_id: str = ""
    node_name: str = ""
    lacks: tuple[str, ...] = ()


class AllocMetric(Wire, frozen=True, kw_only=True):
    """What the scheduler saw for one group."""

    #: all registered nodes; those of the pool and the datacenters; and of these, those that take no new
    #: work now, by state: down, disconnected, initializing, ineligible, draining.
    nodes_registered: int = 0
    nodes_in_datacenters: int = 0
    nodes_not_ready: dict[str, int] = {}
    nodes_evaluated: int = 0
    nodes_filtered: int = 0
    nodes_in_pool: int = 0
    nodes_available: dict[str, int] = {}
    class_filtered: dict[str, int] = {}
    #: reason -> nodes that it alone or first removed, e.g. "missing drivers", "${attr.cpu.arch} = arm64".
    constraint_filtered: dict[str, int] = {}
    #: of the filtered ones, those that the answer of their computed class settled, without a look of their own.
    nodes_class_ineligible: int = 0
    nodes_exhausted: int = 0
    class_exhausted: dict[str, int] = {}
    #: dimension -> nodes short of it: cpu, memory, disk, cores, ports, "port 8080", allocations.
    dimension_exhausted: dict[str, int] = {}
    score_meta_data: tuple[NodeScore, ...] = ()
    allocation_time_ns: int = 0
    #: further placements of the group that failed for the same reason.
    coalesced_failures: int = 0
    nearest_miss: NearestMiss | None = None
    #: what single change would place it, in plain words.
    suggestions: tuple[str, ...] = ()
