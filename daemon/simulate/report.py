"""What a simulation found, as data: for the tables of the command line, and as its JSON. Pure."""

from __future__ import annotations

from daemon.model.base import Wire
from daemon.model.metrics import NodeScore
from daemon.model.plan import GroupAnnotation


class Placement(Wire, frozen=True, kw_only=True):
    """One live allocation. `fresh`: placed by this simulation."""

    name: str
    node_id: str
    node_name: str
    fresh: bool = True


class GroupResult(Wire, frozen=True, kw_only=True):
    """Where one group of a job stands. `reasons`: why `missing` allocations have no node."""

    namespace: str
    job_id: str
    group: str
    type: str
    wanted: int
    placed: int
    missing: int = 0
    reasons: tuple[str, ...] = ()
    annotation: GroupAnnotation = GroupAnnotation()
    #: the best nodes for what could not be placed, or nothing.
    scores: tuple[NodeScore, ...] = ()
    placements: tuple[Placement, ...] = ()


class NodeUse(Wire, frozen=True, kw_only=True):
    """What the allocations on one node hold of it; totals are without what the operator keeps back."""

    id: str
    name: str
    datacenter: str
    node_class: str
    status: str
    #: the value by which the picture groups nodes; "" when it has none.
    place: str = ""
    cpu: int
    cpu_used: int
    memory_mb: int
    memory_used_mb: int
    disk_mb: int
    disk_used_mb: int
    allocations: int


class Machines(Wire, frozen=True, kw_only=True):
    """So many machines of one kind, and what each has."""

    kind: str
    count: int
    cpu: int = 0
    memory_mb: int = 0
    #: "namespace/job/group" -> allocations that still have no node.
    left: dict[str, int] = {}


class Needed(Wire, frozen=True, kw_only=True):
    """Machines to add so that everything fits: each of `options` alone, or all of `mix` together."""

    options: tuple[Machines, ...] = ()
    mix: tuple[Machines, ...] = ()
    #: groups that no known kind of machine can take.
    never: tuple[str, ...] = ()


class Move(Wire, frozen=True, kw_only=True):
    """What becomes of one allocation of a lost node. `to_name` "": it has no node now; `note` says why."""

    namespace: str
    job_id: str
    name: str
    from_name: str
    to_name: str = ""
    note: str = ""


class Loss(Wire, frozen=True, kw_only=True):
    """What losing some nodes does."""

    lost: tuple[str, ...]
    nodes: tuple[str, ...]
    moves: tuple[Move, ...] = ()
    groups: tuple[GroupResult, ...] = ()
    usage: tuple[NodeUse, ...] = ()
    needed: Needed | None = None


class Report(Wire, frozen=True, kw_only=True):
    """The whole answer. `fits`: everything has a node, after the loss, too."""

    fits: bool
    seed: int
    evaluations: int
    groups: tuple[GroupResult, ...] = ()
    usage: tuple[NodeUse, ...] = ()
    needed: Needed | None = None
    loss: Loss | None = None
