"""Evaluated bodies from raw ones; `dynamic` blocks become the blocks that they stand for.

Theory: every attribute is evaluated by itself, so that one mistake does not hide the next; an attribute that
fails is left out, and its error is kept. Names of attributes that failed are kept too: what is missing
because it was wrong is not reported as missing.
"""

from __future__ import annotations

from typing import Any

from daemon.jobspec.body import Attribute, Block, Body, kind_of
from daemon.jobspec.diagnostics import Diagnostic, DiagnosticError, error
from daemon.jobspec.hcl import nodes as n
from daemon.jobspec.hcl.convert import ConversionError, to_text
from daemon.jobspec.hcl.evaluate import Scope, evaluate, fail, locate, root_of

#: blocks that one file may expand to.
_BLOCKS_MAX = 20_000


class Expander:
    """Evaluates bodies in a scope; errors are collected in `found`."""

    def __init__(self) -> None:
        self.found: list[Diagnostic] = []
        self.blocks = 0

    def body(self, raw: n.RawBody, scope: Scope) -> Body:
        """The evaluated body."""
        result = Body(raw.range, loose=raw.loose)
        for attribute in raw.attributes:
            try:
                value = locate(attribute.expression, scope)
            except DiagnosticError as failure:
                self.found += failure.diagnostics
                result.broken[attribute.name] = attribute.name_range
                continue
            result.attributes.append(Attribute(attribute.name, attribute.name_range, value))
        for block in raw.blocks:
            if block.type == "dynamic":
                try:
                    result.blocks += self.dynamic(block, scope)
                except DiagnosticError as failure:
                    self.found += failure.diagnostics
                    if block.labels:
                        result.broken[block.labels[0][0]] = block.range
            else:
                inner = self.body(block.body, scope)
                result.blocks.append(Block(block.type, block.range, list(block.labels), inner))
        return result

    def dynamic(self, block: n.RawBlock, scope: Scope) -> list[Block]:
        """The blocks of `dynamic "type" { for_each labels iterator content {} }`.

        Raises: DiagnosticError.
        """
        if len(block.labels) != 1:
            raise fail("a dynamic block has one label: the type of the blocks it makes", block.range)
        given = {each.name: each for each in block.body.attributes}
        wrong = [each for name, each in given.items() if name not in ("for_each", "iterator", "labels")]
        if wrong:
            raise fail(f'a dynamic block has no key "{wrong[0].name}"', wrong[0].name_range)
        contents = [each for each in block.body.blocks if each.type == "content"]
        if "for_each" not in given or len(contents) != 1 or len(block.body.blocks) != 1:
            raise fail("a dynamic block needs for_each and exactly one content block", block.range)
        type_ = block.labels[0][0]
        iterator = self.iterator(given, type_)
        made = []
        for key, value in self.turns(given["for_each"], scope):
            self.blocks += 1
            if self.blocks > _BLOCKS_MAX:
                raise fail(f"dynamic blocks make more than {_BLOCKS_MAX} blocks", block.range)
            inner = scope.child({iterator: {"key": key, "value": value}})
            labels = self.labels(given.get("labels"), inner)
            made.append(Block(type_, block.range, labels, self.body(contents[0].body, inner)))
        return made

    @staticmethod
    def iterator(given: dict[str, n.RawAttribute], type_: str) -> str:
        """Name by which the content refers to the element."""
        if "iterator" not in given:
            return type_
        node = given["iterator"].expression
        root = root_of(node)
        if root is not None and root is node:
            return root.name
        if isinstance(node, n.Literal) and isinstance(node.value, str):
            return node.value
        raise fail("iterator is a plain name", node.range)

    @staticmethod
    def turns(attribute: n.RawAttribute, scope: Scope) -> list[tuple[Any, Any]]:
        """(key, value) of each element."""
        collection = evaluate(attribute.expression, scope)
        if isinstance(collection, dict):
            return sorted(collection.items())
        if isinstance(collection, list | tuple):
            return list(enumerate(collection))
        raise fail(f"for_each is a list or an object, not {kind_of(collection)}", attribute.expression.range)

    @staticmethod
    def labels(attribute: n.RawAttribute | None, scope: Scope) -> list[Any]:
        """Labels of one made block."""
        if attribute is None:
            return []
        place = attribute.expression.range
        held = evaluate(attribute.expression, scope)
        if not isinstance(held, list):
            raise fail(f"labels is a list of texts, not {kind_of(held)}", place)
        try:
            return [(to_text(each), place) for each in held]
        except ConversionError as failure:
            raise fail(f"as a label {failure}", place) from None


def misplaced(body: n.RawBody, allowed: tuple[str, ...], where: str) -> list[Diagnostic]:
    """Errors for top-level attributes, and blocks that are not allowed there."""
    from daemon.jobspec.diagnostics import nearest

    result = [
        error(f'{where} has no key "{each.name}"', each.name_range, suggestion=nearest(each.name, allowed))
        for each in body.attributes
    ]
    for block in body.blocks:
        if block.type not in allowed:
            advice = nearest(block.type, allowed) or f"allowed here: {', '.join(allowed)}"
            result.append(error(f'{where} has no block "{block.type}"', block.range, suggestion=advice))
    return result
