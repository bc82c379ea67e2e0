"""Status, System and Event methods. Source: spec/nomad-surface.md B6, B8."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from daemon.model.base import to_json
from daemon.model.errors import Unavailable
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.rpc.dispatch import Caller, Dispatcher
from daemon.rpc.stream import Stream
from daemon.server.collect import Ages
from daemon.server.context import ServerContext
from daemon.server.ring import ChangeRing, StreamEvent, events_of

#: seconds without an event after which a heartbeat `{}` is sent.
HEARTBEAT_S = 10.0


class SystemEndpoints:
    """Handlers of Status.*, System.*, Event.*."""

    def __init__(
        self,
        context: ServerContext,
        ring: ChangeRing,
        collect: Callable[[Ages], Awaitable[int]],
        leader_address: Callable[[], str],
    ) -> None:
        self._context = context
        self._ring = ring
        self._collect = collect
        self._leader_address = leader_address

    def register_in(self, dispatcher: Dispatcher) -> None:
        """Serve all of them."""
        dispatcher.serve(methods.STATUS_LEADER, self.leader)
        dispatcher.serve(methods.SYSTEM_GC, self.gc)
        dispatcher.serve_stream(methods.EVENT_STREAM, self.events)

    async def leader(self, request: m.Query, caller: Caller) -> m.LeaderResponse:
        """The leader's address."""
        return m.LeaderResponse(index=self._context.state.index, leader=self._leader_address())

    async def gc(self, request: m.Write, caller: Caller) -> m.Empty:
        """Collect all that is over, whatever its age."""
        await self._collect(Ages.now())
        return m.Empty(index=self._context.state.index)

    async def events(self, request: m.EventStreamRequest, stream: Stream, caller: Caller) -> None:
        """JSON lines, one batch an entry: `{"Index": n, "Events": [...]}`; `{}` as a sign of life."""
        index = request.index
        while True:
            seen = self._context.index_signal.value
            if self._ring.lost(index):
                raise Unavailable(
                    f"events after index {index} are no longer kept: read the state, then start at 0"
                )
            for changes in self._ring.since(index):
                index = changes.index
                events = [event for event in events_of(changes) if _wanted(event, request.topics)]
                if events:
                    await stream.send(to_json({"Index": index, "Events": events}) + b"\n")
            index = max(index, seen)
            if not await self._context.index_signal.wait_past(seen, HEARTBEAT_S):
                await stream.send(b"{}\n")


def _wanted(event: StreamEvent, topics: tuple[str, ...]) -> bool:
    """Topics are `Topic`, `Topic:key` or `*`; none means all."""
    if not topics:
        return True
    for topic in topics:
        name, _, key = topic.partition(":")
        if name in ("*", event.topic) and key in ("", "*", event.key):
            return True
    return False
