"""Kinds of machines, and nodes made of them. Pure.

Theory: a kind is a template and ways to deal values over its machines (racks, datacenters). Machine `n` of a kind is
always the same node: its id is a hash of its name, its values follow from `n`. So a simulation may add machines to a
fleet, and the same machines come out each time.

Not here: reading kinds from a file (fleet_file.py); how many are needed (sizing.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from msgspec.structs import replace

from daemon.model.node import Node

#: what `across` and `-lose` may name besides `meta.KEY` and `attr.KEY`.
FIELDS = ("datacenter", "node_class", "node_pool")


@dataclass(frozen=True)
class Across:
    """Values dealt out over the machines of a kind, e.g. `meta.rack` over r1, r2, r3."""

    target: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Kind:
    """One kind of machine. `count`: how many the fleet has of it."""

    name: str
    template: Node
    count: int = 0
    across: tuple[Across, ...] = ()

    def machine(self, number: int) -> Node:
        """Machine `number` (from 0): the first `across` changes fastest."""
        name = f"{self.name}-{number + 1:02d}"
        node, left = self.template, number
        for deal in self.across:
            node = _with(node, deal.target, deal.values[left % len(deal.values)])
            left //= len(deal.values)
        attributes = {**node.attributes, "unique.hostname": name}
        return replace(node, id=node_id(name), name=name, attributes=attributes)

    def machines(self, first: int, count: int) -> list[Node]:
        """`count` machines from number `first` on."""
        return [self.machine(number) for number in range(first, first + count)]


def node_id(name: str) -> str:
    """The id of a made-up node: a UUID from its name."""
    text = blake2b(name.encode(), digest_size=16).hexdigest()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-8{text[17:20]}-{text[20:]}"


def _with(node: Node, target: str, value: str) -> Node:
    if target in FIELDS:
        return replace(node, **{target: value})
    space, _, key = target.partition(".")
    if space == "meta":
        return replace(node, meta={**node.meta, key: value})
    return replace(node, attributes={**node.attributes, key: value})


def value_of(node: Node, target: str) -> str | None:
    """What a node has for `datacenter`, `node_class`, `node_pool`, `node`, `meta.KEY` or `attr.KEY`."""
    if target == "node":
        return node.name
    if target in FIELDS:
        return str(getattr(node, target)) or None
    space, _, key = target.partition(".")
    return (node.meta if space == "meta" else node.attributes).get(key)


def kinds_of(nodes: Iterable[Node], most: int) -> list[Kind]:
    """The kinds that a cluster's nodes seem to be of, the most numerous first: alike in all that counts for room."""
    found: dict[tuple[object, ...], list[Node]] = {}
    for node in sorted(nodes, key=lambda node: node.id):
        drivers = tuple(sorted(name for name, info in node.drivers.items() if info.healthy))
        total, kept = node.node_resources, node.reserved
        shape = (total.cpu_shares, total.memory_mb, total.disk_mb, kept, node.node_max_allocs)
        key = (node.datacenter, node.node_class, node.node_pool, drivers, *shape)
        found.setdefault(key, []).append(node)
    ranked = sorted(found.values(), key=lambda alike: (-len(alike), alike[0].id))
    return [Kind(f"like-{alike[0].name or alike[0].id[:8]}", _fresh(alike[0])) for alike in ranked[:most]]


def _fresh(node: Node) -> Node:
    """A template: a node of this kind as it is when it has just joined."""
    blank = Node(id="", status=node.status)
    return replace(
        node,
        drain_strategy=None,
        last_drain=None,
        scheduling_eligibility=blank.scheduling_eligibility,
        status=type(node.status).READY,
        events=(),
    )
