"""The computed class of a node: nodes of one class pass the same constraints.

Theory: a hash of the facts that constraints usually look at; keys that begin with `unique.` are left out, as are
cpu, memory, instances of devices, volumes and drivers' states. Blocked work is woken by class.
Pure.

Source: spec/scheduler.md 1.4.
"""

from __future__ import annotations

import hashlib

import msgspec

from daemon.model.node import Node

UNIQUE = "unique."


def computed_class(node: Node) -> str:
    """`v1:` and 16 hex digits; equal for nodes that are alike."""
    facts: list[object] = [
        node.datacenter,
        node.node_class,
        node.node_pool,
        _common(node.attributes),
        _common(node.meta),
    ]
    devices = node.node_resources.devices
    if devices:
        facts.append(sorted((group.key, sorted(group.attributes.items())) for group in devices))
    return "v1:" + hashlib.blake2b(msgspec.json.encode(facts), digest_size=8).hexdigest()


def _common(pairs: dict[str, str]) -> list[tuple[str, str]]:
    return sorted((key, value) for key, value in pairs.items() if not key.startswith(UNIQUE))
