"""python-hcl2's tree to our syntax nodes.

Theory: the tree keeps every token; here they are dropped and each rule becomes one node. Offsets of the tree
plus `shift` are offsets in the source (an expression inside a heredoc is parsed on its own). Recursion is
bounded: the scanner limits brackets, `_deeper` the rest (chains of conditionals).

Source: python-hcl2 8.1.4, `hcl2/hcl2.lark`.
"""

from __future__ import annotations

from typing import Any

from daemon.jobspec.diagnostics import Diagnostic, DiagnosticError, error
from daemon.jobspec.hcl import nodes as n
from daemon.jobspec.hcl.grammar import SyntaxFault, parse_tree
from daemon.jobspec.hcl.scan import DEPTH_MAX
from daemon.jobspec.hcl.template import Piece, assemble, read_heredoc, simple_path, unescape
from daemon.jobspec.source import Range, Source

_NOISE = frozenset({"new_line_or_comment"})


def read_body(source: Source) -> n.RawBody:
    """The whole source as a body.

    Raises: SyntaxFault when this is no HCL2. What the grammar lets pass is in `found` of the body.
    """
    tree = parse_tree(source, source.text)
    builder = _Builder(source, 0)
    body = builder.body(tree.children[0], source.range(0, len(source.text)))
    body.found = builder.found
    return body


def read_expression(source: Source, start: int, end: int, depth: int = 0) -> n.Node:
    """The expression between two offsets of the source.

    Raises: DiagnosticError with a syntax error.
    """
    path = simple_path(source, start, end)
    if path is not None:
        return path
    if not source.text[start:end].strip():
        raise DiagnosticError(error("an expression is missing here", source.range(start, end)))
    if depth > 8:
        raise DiagnosticError(error("templates are nested too deep", source.range(start, start + 1)))
    prefix = "_=("
    text = f"{prefix}{source.text[start:end]}\n)"
    try:
        tree = parse_tree(source, text, start - len(prefix))
    except SyntaxFault as failure:
        # the text around it is HCL2 all the same
        found = failure.diagnostics[0]
        if found.range is not None and found.range.start >= end:
            found = error("this expression is incomplete", source.range(start, end))
        raise DiagnosticError(found) from None
    items = [each for each in tree.children[0].children if each.data not in _NOISE]
    if len(items) != 1 or items[0].data != "attribute":
        raise DiagnosticError(error("one expression is expected here", source.range(start, end)))
    return _Builder(source, start - len(prefix), depth).expression(items[0].children[2])


class _Builder:
    """Walks one tree. `depth` counts templates inside templates."""

    def __init__(self, source: Source, shift: int, depth: int = 0) -> None:
        self.source = source
        self.shift = shift
        self.depth = depth
        self.level = 0
        self.found: list[Diagnostic] = []

    def place(self, item: Any) -> Range:
        """Range of a token or a tree."""
        meta = getattr(item, "meta", item)
        start, end = getattr(meta, "start_pos", None), getattr(meta, "end_pos", None)
        if start is None or end is None:
            return self.source.range(0, 0)
        return self.source.range(start + self.shift, end + self.shift)

    # Bodies

    def body(self, tree: Any, whole: Range) -> n.RawBody:
        """A `body` rule."""
        result = n.RawBody(whole)
        for child in tree.children:
            if child.data == "attribute":
                name, _, expression = child.children
                try:
                    node = self.expression(expression)
                except DiagnosticError as failure:
                    self.found += failure.diagnostics
                    node = n.Broken(self.place(expression))
                result.attributes.append(n.RawAttribute(self.word(name), self.place(name), node))
            elif child.data == "block":
                try:
                    result.blocks.append(self.block(child))
                except DiagnosticError as failure:
                    self.found += failure.diagnostics
        return result

    def block(self, tree: Any) -> n.RawBlock:
        """A `block` rule."""
        self.level += 1
        if self.level > DEPTH_MAX * 2:
            raise DiagnosticError(error("these blocks are nested too deep", self.place(tree)))
        try:
            return self.read_block(tree)
        finally:
            self.level -= 1

    def read_block(self, tree: Any) -> n.RawBlock:
        """Head, labels and body."""
        head = [each for each in tree.children if not _is_token(each) and each.data not in (*_NOISE, "body")]
        body = next(each for each in tree.children if not _is_token(each) and each.data == "body")
        labels = []
        for item in head[1:]:
            node = self.string(item) if item.data == "string" else None
            if node is not None and not isinstance(node, n.Literal):
                place = self.place(item)
                raise DiagnosticError(error("a label cannot hold an interpolation", place))
            labels.append((node.value if node is not None else self.word(item), self.place(item)))
        return n.RawBlock(self.word(head[0]), self.place(head[0]), labels, self.body(body, self.place(tree)))

    @staticmethod
    def word(tree: Any) -> str:
        """Text of an identifier, keyword or literal word."""
        return str(tree.children[0])

    # Expressions

    def expression(self, tree: Any) -> n.Node:
        """Any expression."""
        self.level += 1
        if self.level > DEPTH_MAX * 2:
            raise DiagnosticError(error("this expression is nested too deep", self.place(tree)))
        try:
            return self.dispatch(tree)
        finally:
            self.level -= 1

    def dispatch(self, tree: Any) -> n.Node:
        """By the rule's name."""
        rule = tree.data
        if rule == "expr_term":
            inner = [each for each in tree.children if not _is_token(each) and each.data not in _NOISE]
            return self.expression(inner[0])
        method = getattr(self, f"rule_{rule}", None)
        if method is None:
            raise DiagnosticError(error("this is not an expression", self.place(tree)))
        result = method(tree)
        assert isinstance(result, n.Node)
        return result

    def operands(self, tree: Any) -> list[Any]:
        """Child rules that carry meaning."""
        return [each for each in tree.children if not _is_token(each) and each.data not in _NOISE]

    def rule_int_lit(self, tree: Any) -> n.Node:
        """A whole number."""
        text = str(tree.children[0])
        if len(text) > 300:
            raise DiagnosticError(error("this number is too long", self.place(tree)))
        return n.Literal(self.place(tree), int(text))

    def rule_float_lit(self, tree: Any) -> n.Node:
        """A number with a point or an exponent."""
        value = float(tree.children[0])
        if value in (float("inf"), float("-inf")):
            raise DiagnosticError(error("this number is too large", self.place(tree)))
        whole = value.is_integer() and abs(value) < 1e15
        return n.Literal(self.place(tree), int(value) if whole else value)

    def rule_literal_value(self, tree: Any) -> n.Node:
        """True, false, null."""
        return n.Literal(self.place(tree), {"true": True, "false": False, "null": None}[self.word(tree)])

    def rule_identifier(self, tree: Any) -> n.Node:
        """A root name."""
        return n.Name(self.place(tree), self.word(tree))

    def rule_string(self, tree: Any) -> n.Node:
        """A quoted string."""
        return self.string(tree)

    def rule_template_string(self, tree: Any) -> n.Node:
        r"""A string with \" as its quotes, inside a directive."""
        text = str(tree.children[0])[2:-2]
        place = self.place(tree)
        return n.Literal(place, unescape(text, self.source, place.start + 2))

    def rule_heredoc_template(self, tree: Any) -> n.Node:
        """A heredoc."""
        place = self.place(tree)

        def read(start: int, end: int) -> n.Node:
            return read_expression(self.source, start, end, self.depth + 1)

        return read_heredoc(self.source, place.start, place.end, read)

    rule_heredoc_template_trim = rule_heredoc_template

    def rule_tuple(self, tree: Any) -> n.Node:
        """A list."""
        return n.TupleNode(self.place(tree), [self.expression(each) for each in self.operands(tree)])

    def rule_object(self, tree: Any) -> n.Node:
        """An object; a bare word as key is that word."""
        items = []
        for element in self.operands(tree):
            key, value = self.operands(element)
            inner = key.children[0]
            if inner.data == "keyword":
                key_node: n.Node = n.Literal(self.place(inner), self.word(inner))
            else:
                key_node = self.expression(inner)
                if isinstance(key_node, n.Name) and str(self.place(inner).text)[:1] != "(":
                    key_node = n.Literal(key_node.range, key_node.name)
            items.append((key_node, self.expression(value)))
        return n.ObjectNode(self.place(tree), items)

    def rule_function_call(self, tree: Any) -> n.Node:
        """A call."""
        parts = self.operands(tree)
        names = [each for each in parts if each.data == "identifier"]
        arguments = next((each for each in parts if each.data == "arguments"), None)
        expand = arguments is not None and any(
            _is_token(each) and each.type == "ELLIPSIS" for each in arguments.children
        )
        given = [self.expression(each) for each in self.operands(arguments)] if arguments else []
        name = "::".join(self.word(each) for each in names)
        return n.Call(self.place(tree), name, self.place(names[0]), given, expand)

    def rule_index_expr_term(self, tree: Any) -> n.Node:
        """`a[b]`, `a.0`."""
        target, index = tree.children
        return n.Index(self.place(tree), self.expression(target), self.index_key(index))

    def index_key(self, index: Any) -> n.Node:
        """The key of an index rule."""
        if index.data == "short_index":
            token = index.children[1]
            return n.Literal(self.place(token), int(token))
        return self.expression(self.operands(index)[0])

    def rule_get_attr_expr_term(self, tree: Any) -> n.Node:
        """`a.b`."""
        target, attr = tree.children
        name = attr.children[1]
        return n.GetAttr(self.place(tree), self.expression(target), self.word(name), self.place(name))

    def rule_attr_splat_expr_term(self, tree: Any) -> n.Node:
        """`a.*.b`, `a[*].b`."""
        target, splat = tree.children
        steps: list[tuple[Range, str | n.Node]] = []
        for step in self.operands(splat):
            if step.data == "get_attr":
                steps.append((self.place(step), self.word(step.children[1])))
            else:
                steps.append((self.place(step), self.index_key(step)))
        return n.Splat(self.place(tree), self.expression(target), steps)

    rule_full_splat_expr_term = rule_attr_splat_expr_term

    def rule_for_tuple_expr(self, tree: Any) -> n.Node:
        """`[for x in c : v if k]`."""
        names, collection, rest, condition, _ = self.for_parts(tree)
        return n.For(self.place(tree), names, collection, None, rest[0], condition, False)

    def rule_for_object_expr(self, tree: Any) -> n.Node:
        """`{for x in c : k => v... if k}`."""
        names, collection, rest, condition, group = self.for_parts(tree)
        return n.For(self.place(tree), names, collection, rest[0], rest[1], condition, group)

    def for_parts(self, tree: Any) -> tuple[list[str], n.Node, list[n.Node], n.Node | None, bool]:
        """Names, collection, results, condition, and whether results are grouped."""
        parts = self.operands(tree)
        intro = self.operands(parts[0])
        names = [self.word(each) for each in intro[:-1]]
        condition = None
        if parts[-1].data == "for_cond":
            condition = self.expression(self.operands(parts.pop())[0])
        group = any(_is_token(each) and each.type == "ELLIPSIS" for each in tree.children)
        return (
            names,
            self.expression(intro[-1]),
            [self.expression(each) for each in parts[1:]],
            condition,
            group,
        )

    def rule_unary_op(self, tree: Any) -> n.Node:
        """`-x`, `!x`."""
        operator, operand = tree.children
        return n.Unary(self.place(tree), str(operator), self.expression(operand))

    def rule_binary_op(self, tree: Any) -> n.Node:
        """A chain of one precedence, unrolled so that a long one costs no depth."""
        rest: list[tuple[str, n.Node]] = []
        at = tree
        while at.data == "binary_op":
            at, term = self.operands(at)
            operator, operand = self.operands(term)
            rest.append((_bare(str(operator.children[0])), self.expression(operand)))
        return n.Binary(self.place(tree), self.expression(at), rest[::-1])

    def rule_conditional(self, tree: Any) -> n.Node:
        """`c ? a : b`."""
        condition, then, otherwise = (self.expression(each) for each in self.operands(tree))
        return n.Conditional(self.place(tree), condition, then, otherwise)

    # Strings

    def string(self, tree: Any) -> n.Node:
        """A quoted string from its parts."""
        pieces = [self.piece(part.children[0]) for part in tree.children if not _is_token(part)]
        return assemble(pieces, self.place(tree))

    def piece(self, item: Any) -> Piece:
        """One part of a quoted string."""
        place = self.place(item)
        if _is_token(item):
            text = str(item)
            if item.type in ("ESCAPED_INTERPOLATION", "ESCAPED_DIRECTIVE"):
                text = text[1:]
                return Piece("text", place, unescape(text, self.source, place.start + 1))
            return Piece("text", place, unescape(text, self.source, place.start))
        left, right = (_is_strip(item.children[at]) for at in (1, -2))
        inner = self.operands(item)
        if item.data == "interpolation":
            return Piece("interp", place, node=self.expression(inner[0]))
        kind = str(item.data).removeprefix("template_").removesuffix("_start")
        piece = Piece(kind, place, strip_left=left, strip_right=right)
        if kind == "if":
            piece.node = self.expression(inner[0])
        elif kind == "for":
            piece.names = tuple(self.word(each) for each in inner[:-1])
            piece.node = self.expression(inner[-1])
        return piece


def _is_strip(item: Any) -> bool:
    return _is_token(item) and item.type == "STRIP_MARKER"


def _is_token(item: Any) -> bool:
    return not hasattr(item, "children")


def _bare(operator: str) -> str:
    """An operator without the comment that python-hcl2 merges into it."""
    for known in ("&&", "||", "==", "!=", "<=", ">="):
        if operator.endswith(known):
            return known
    return operator[-1:]
