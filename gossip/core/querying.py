"""Queries: a question to all members that match, answered straight to the asker. Pure.

Theory: a query travels as a broadcast, its answers as single packets (and, if asked for, through a few relays as well).
The asker knows whom it asked and stops early when all have answered. Filters are names and exact tags: patterns would
be remote input to a regular expression. Names that begin with `_gossip.` are answered by the library itself.
Source: serf's queries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gossip import limits
from gossip.core.actions import Asked, QueryDone
from gossip.core.context import Context
from gossip.core.queue import transmit_limit
from gossip.core.recent import Recent
from gossip.core.table import Record
from gossip.core.tags import decode_tags, encode_tags
from gossip.core.timers import Timer
from gossip.errors import DecodeError, TooLarge
from gossip.model import Address, QueryResult, Reply, State
from gossip.wire.codec import COMPOUND_BYTES, PART_BYTES, decode, encode
from gossip.wire.messages import Query, QueryReply, Relay

RESERVED = "_gossip."
"""Prefix of the library's own queries."""

_OPEN_ANSWERS_MAX = 1024


class OpenQuery:
    """An own query in flight."""

    __slots__ = ("acks", "asked", "op", "replies", "timer", "wants_acks")

    def __init__(self, op: int, asked: tuple[str, ...], timer: Timer, *, wants_acks: bool) -> None:
        self.op = op
        self.wants_acks = wants_acks
        self.asked = asked
        self.timer = timer
        self.replies: dict[str, Reply] = {}
        self.acks: list[str] = []


class Querying:
    """Owns open queries, and the questions that wait for this member's own answer."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.seen: Recent[int] = Recent(context.query_clock)
        self.reserved: Callable[[int, Query, bool], None] = lambda handle, query, sealed: None
        """Answers the library's own queries; set by the keys part."""
        self._open: dict[tuple[int, int], OpenQuery] = {}
        self._unanswered: dict[int, tuple[Query, float]] = {}
        self._last_handle = 0

    def default_timeout_s(self) -> float:
        """Time for a query to reach everybody and be answered."""
        timing = self.context.timing
        return timing.spreading.interval_s * transmit_limit(
            timing.queries.timeout_mult, 1, self.context.table.living
        )

    def ask(
        self,
        op: int,
        name: str,
        payload: bytes,
        *,
        nodes: tuple[str, ...] = (),
        tags: Mapping[str, str],
        timeout_s: float | None = None,
        ack: bool = False,
        relays: int = 0,
    ) -> None:
        """Ask; ends with QueryDone(op). Raises: TooLarge."""
        context = self.context
        size = len(name.encode()) + len(payload)
        if not name or size > limits.QUERY_BYTES_MAX:
            raise TooLarge(
                f"query {name!r}: name and payload take {size} bytes; 1-{limits.QUERY_BYTES_MAX} are possible"
            )
        if len(self._open) >= limits.QUERIES_OPEN_MAX:
            raise TooLarge(f"query {name!r}: {limits.QUERIES_OPEN_MAX} queries wait for replies already")
        host, port = context.address
        wait_s = self.default_timeout_s() if timeout_s is None else timeout_s
        query = Query(
            time=context.query_clock.increment(),
            id=context.next_sequence(),
            source=context.name,
            host=host,
            port=port,
            name=name,
            payload=payload,
            nodes=",".join(nodes),
            tags=encode_tags(tags),
            timeout_ms=round(wait_s * 1000),
            ack=ack,
            relays=relays,
        )
        data = encode(query)
        room = context.envelope.budget_bytes - COMPOUND_BYTES - PART_BYTES
        if len(query.nodes) > limits.QUERY_BYTES_MAX or len(data) > room:
            raise TooLarge(f"query {name!r}: {len(data)} bytes with its filters; {room} fit into a packet")
        asked = tuple(record.name for record in context.table.all_living() if _matches(query, record))
        key = (query.time, query.id)
        timer = context.timers.at(context.now + wait_s, lambda: self._finish(key))
        self._open[key] = OpenQuery(op, asked, timer, wants_acks=ack)
        self.hear(query, sealed=context.envelope.seals or not context.envelope.keyring)
        self._finish_if_complete(key)

    def hear(self, query: Query, *, sealed: bool) -> None:
        """A question: passed on if new, answered if it is for this member."""
        context = self.context
        if not self.seen.is_news(query.time, query.id):
            return
        context.broadcast(context.queries, "", encode(query))
        me = context.table.get(context.name)
        if me is None or not me.living or not _matches(query, me):
            return
        if query.ack:
            self._answer(query, QueryReply(time=query.time, id=query.id, source=context.name, ack=True))
        if len(self._unanswered) >= _OPEN_ANSWERS_MAX:
            del self._unanswered[next(iter(self._unanswered))]
        self._last_handle += 1
        handle = self._last_handle
        self._unanswered[handle] = (query, context.now + query.timeout_ms / 1000)
        if query.name.startswith(RESERVED):
            self.reserved(handle, query, sealed)
        else:
            context.actions.append(Asked(handle, query.name, query.payload, query.source))

    def answer(self, handle: int, payload: bytes | None) -> None:
        """This member's answer (None: none) to a question; too late ones are dropped. Raises: TooLarge."""
        query, deadline_s = self._unanswered.pop(handle, (None, 0.0))
        if query is None or payload is None or self.context.now > deadline_s:
            return
        reply = QueryReply(time=query.time, id=query.id, source=self.context.name, payload=payload)
        room = self.context.envelope.budget_bytes - COMPOUND_BYTES - PART_BYTES
        if len(payload) > limits.QUERY_BYTES_MAX or len(encode(reply)) > room:
            raise TooLarge(
                f"reply to {query.name!r} has {len(payload)} bytes; {limits.QUERY_BYTES_MAX} are possible"
            )
        self._answer(query, reply)

    def _answer(self, query: Query, reply: QueryReply) -> None:
        context = self.context
        if query.source == context.name:
            self.hear_reply(reply)
            return
        data = encode(reply)
        context.send((query.host, query.port), [data])
        if query.relays:
            relay = encode(Relay(host=query.host, port=query.port, body=data))
            if len(relay) <= context.envelope.budget_bytes - COMPOUND_BYTES - PART_BYTES:
                for helper in context.table.pick(
                    query.relays, lambda record: record.state is State.ALIVE and record.name != query.source
                ):
                    context.send(helper.address, [relay])

    def hear_relay(self, message: Relay) -> None:
        """Pass a reply on, and nothing but a reply, and only to a member."""
        target: Address = (message.host, message.port)
        try:
            body = decode(message.body)
        except DecodeError as error:
            self.context.metrics.dropped(error.reason)
            return
        known = any(record.address == target for record in self.context.table.all_living())
        if isinstance(body, QueryReply) and known:
            self.context.send(target, [message.body])
        else:
            self.context.metrics.refuse("relay")

    def hear_reply(self, reply: QueryReply) -> None:
        """An answer or an acknowledgement to an own query; the first of each member counts."""
        query = self._open.get((reply.time, reply.id))
        if query is None:
            return
        if reply.source not in query.asked:
            return
        # an answer says as well that the question arrived; its acknowledgement may come later or be lost
        if query.wants_acks and reply.source not in query.acks:
            query.acks.append(reply.source)
        if not reply.ack:
            query.replies.setdefault(reply.source, Reply(name=reply.source, payload=reply.payload))
        self._finish_if_complete((reply.time, reply.id))

    def _finish_if_complete(self, key: tuple[int, int]) -> None:
        query = self._open.get(key)
        if query is not None and len(query.replies) == len(query.asked):
            query.timer.cancel()
            self._finish(key)

    def _finish(self, key: tuple[int, int]) -> None:
        query = self._open.pop(key, None)
        if query is not None:
            result = QueryResult(
                asked=query.asked, replies=tuple(query.replies.values()), acknowledged=tuple(query.acks)
            )
            self.context.actions.append(QueryDone(query.op, result))


def _matches(query: Query, record: Record) -> bool:
    if query.nodes and record.name not in query.nodes.split(","):
        return False
    if not query.tags:
        return True
    tags = decode_tags(record.meta)
    return all(tags.get(key) == value for key, value in decode_tags(query.tags).items())
