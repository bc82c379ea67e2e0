"""Reads: blocking until something has changed, id prefixes, paging."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from daemon.model.errors import InvalidInput, NotFound
from daemon.rpc.messages import Answer, Query
from daemon.server.context import ServerContext
from daemon.state.state import State

#: longest wait of a blocking query, and the one used when none is asked for (spec/nomad-surface.md B1).
WAIT_MAX_S = 300.0
ID_PREFIX_MIN = 2
PAGE_MAX = 10_000

A = TypeVar("A", bound=Answer)
T = TypeVar("T")


async def blocking(context: ServerContext, query: Query, read: Callable[[], A]) -> A:
    """The answer of `read` at once, or, with `min_query_index`, once its index is past that.

    When the time is up first, the same answer with the same index.
    """
    answer = read()
    if query.min_query_index <= 0:
        return answer
    loop_time = context.clock.mono_s
    wait_s = min(WAIT_MAX_S, query.max_query_time_ns / 1e9 if query.max_query_time_ns > 0 else WAIT_MAX_S)
    until = loop_time() + wait_s
    seen = context.index_signal.value
    while answer.index <= query.min_query_index:
        left = until - loop_time()
        if left <= 0 or not await context.index_signal.wait_past(seen, left):
            return read()
        seen = context.index_signal.value
        answer = read()
    return answer


def resolve(state: State, table: str, text: str, what: str) -> str:
    """The full id for a unique prefix of at least two characters.

    Raises: NotFound; InvalidInput listing the candidates when it is ambiguous.
    """
    if len(text) < ID_PREFIX_MIN:
        raise InvalidInput(
            f"{text!r} is too short for the id of a {what}: give at least {ID_PREFIX_MIN} characters"
        )
    found = state.resolve_prefix(table, text)
    if not found:
        raise NotFound(f"{what} not found: no id begins with {text!r}")
    if len(found) > 1 and text not in found:
        shown = ", ".join(found[:5])
        raise InvalidInput(f"{text!r} begins the ids of {len(found)} {what}s: {shown}", candidates=found[:20])
    return text if text in found else found[0]


def page(items: Iterable[T], key: Callable[[T], str], query: Query) -> tuple[Sequence[T], str]:
    """One page of items in the order of their keys, and the token of the next page ("" when done)."""
    size = query.per_page if 0 < query.per_page <= PAGE_MAX else PAGE_MAX
    taken: list[T] = []
    for item in items:
        if query.next_token and key(item) < query.next_token:
            continue
        if len(taken) == size:
            return taken, key(item)
        taken.append(item)
    return taken, ""


def namespace_of(query_namespace: str) -> str:
    """The namespace asked for; "" is the default one."""
    return query_namespace or "default"
