"""Which nodes `-lose` means: `meta.rack=r1`, `datacenter=dc2`, `node_class=big`, `attr.KEY=VALUE`, or a name. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from daemon.jobspec.diagnostics import nearest
from daemon.model.errors import InvalidInput
from daemon.model.node import Node
from daemon.simulate.kinds import FIELDS, value_of

#: other spellings that people know from job files.
_ALIASES = {"class": "node_class", "pool": "node_pool", "dc": "datacenter", "name": "node"}


def target_of(text: str) -> str:
    """The key that a word means: `class`, `${meta.rack}`, `node.datacenter` are understood, too.

    Raises: InvalidInput.
    """
    key = text.removeprefix("${").removesuffix("}").removeprefix("node.")
    key = _ALIASES.get(key, key)
    space, _, rest = key.partition(".")
    if key in (*FIELDS, "node") or (space in ("meta", "attr") and rest):
        return key
    known = (*FIELDS, "node", *_ALIASES)
    advice = nearest(key, known) or f"use {', '.join((*FIELDS, 'node'))}, meta.KEY or attr.KEY"
    raise InvalidInput(f'there is no "{text}" to tell nodes apart by; {advice}')


def selected(nodes: Iterable[Node], text: str) -> list[Node]:
    """The nodes that `text` names, in the order of their names.

    Raises: InvalidInput, when it names none; it says what there is.
    """
    found = sorted(nodes, key=lambda node: (node.name, node.id))
    key, equals, value = text.partition("=")
    if not equals:
        match = [node for node in found if text == node.name or text == node.id]
        if not match and len(text) >= 4:
            match = [node for node in found if node.id.startswith(text)]
        if len(match) > 1:
            raise InvalidInput(f'"{text}" is the name of {len(match)} nodes; give the id of one')
        if not match:
            advice = nearest(text, (node.name for node in found))
            raise InvalidInput(f'no node is called "{text}"; {advice or "KEY=VALUE names several at once"}')
        return match
    target = target_of(key.strip())
    values = {value_of(node, target) for node in found}
    match = [node for node in found if value_of(node, target) == value.strip()]
    if not match:
        there = sorted(each for each in values if each is not None)
        has = f"it is one of {', '.join(there[:8])}" if there else f"no node has {target}"
        raise InvalidInput(f'no node has {target} "{value.strip()}"; {has}')
    return match
