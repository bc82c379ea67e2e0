"""Replaces `${...}` in the texts of a task: NOMAD_* and other variables, node facts. Pure.

Known targets: `${NOMAD_X}` and any other variable of the task's environment by its bare name, `${env["X"]}`,
`${env.X}`, `${node.unique.id|unique.name|datacenter|class|pool|region}`, `${attr.KEY}`, `${meta.KEY}` (the node's).
A variable that `env` asks for and nobody has is empty; any other unknown target stays as it is, because it may be a
shell's or a program's own.

Source: spec/nomad-surface.md C3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from daemon.model.node import Node

_TARGET = re.compile(r"\$\{([^{}]*)\}")
_ENV_INDEX = re.compile(r"env\[\s*(?:\"([^\"]*)\"|'([^']*)')\s*\]\Z")


class NodeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What of the node can be interpolated."""

    id: str
    name: str
    datacenter: str = "dc1"
    node_class: str = ""
    node_pool: str = "default"
    region: str = "global"
    attributes: dict[str, str] = {}
    meta: dict[str, str] = {}

    @classmethod
    def of(cls, node: Node, region: str) -> NodeFacts:
        """The facts of a node's record."""
        return cls(
            id=node.id,
            name=node.name,
            datacenter=node.datacenter,
            node_class=node.node_class,
            node_pool=node.node_pool,
            region=region,
            attributes=node.attributes,
            meta=node.meta,
        )


class Interpolator:
    """Replaces targets from one environment and one node."""

    def __init__(self, env: Mapping[str, str], facts: NodeFacts) -> None:
        self._env = env
        self._facts = facts
        self._node = {
            "node.unique.id": facts.id,
            "node.unique.name": facts.name,
            "node.datacenter": facts.datacenter,
            "node.class": facts.node_class,
            "node.pool": facts.node_pool,
            "node.region": facts.region,
        }

    def text(self, text: str) -> str:
        """One text with its targets replaced. What a target is replaced by is not looked at again."""
        return _TARGET.sub(self._replace, text) if "${" in text else text

    def value(self, value: Any) -> Any:
        """A tree of maps and lists with all its texts replaced; keys stay."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {key: self.value(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(inner) for inner in value]
        return value

    def _replace(self, match: re.Match[str]) -> str:
        target = match.group(1).strip()
        found = self._lookup(target)
        return match.group(0) if found is None else found

    def _lookup(self, target: str) -> str | None:
        if target in self._node:
            return self._node[target]
        if target.startswith("attr."):
            return self._facts.attributes.get(target.removeprefix("attr."))
        if target.startswith("meta."):
            return self._facts.meta.get(target.removeprefix("meta."))
        if target.startswith("env."):
            return self._env.get(target.removeprefix("env."), "")
        index = _ENV_INDEX.match(target)
        if index is not None:
            return self._env.get(index.group(1) or index.group(2) or "", "")
        return self._env.get(target)
