"""User events: small messages to everybody, best effort. Pure.

Theory: an event is news once, is passed on once, and is remembered for a while so that push/pulls can give it to those
who missed it. Never carry state in one: it may be lost.
Source: serf's user events.
"""

from __future__ import annotations

from collections.abc import Sequence

from gossip import limits
from gossip.core.actions import Emit
from gossip.core.context import Context
from gossip.core.recent import Recent
from gossip.errors import TooLarge
from gossip.model import Event, EventKind, UserEvent
from gossip.wire.codec import encode
from gossip.wire.messages import UserEventMessage

_EXCHANGED_MAX = 64
"""Newest events that a push/pull carries along."""


class UserEvents:
    """Sends, hears and remembers events."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.seen: Recent[tuple[str, bytes]] = Recent(context.event_clock)

    def send(self, name: str, payload: bytes) -> None:
        """Tell everybody, this member included. Raises: TooLarge."""
        size = len(name.encode()) + len(payload)
        if not name or size > limits.EVENT_BYTES_MAX:
            raise TooLarge(
                f"event {name!r}: name and payload take {size} bytes; 1-{limits.EVENT_BYTES_MAX} are possible"
            )
        self._hear(UserEventMessage(time=self.context.event_clock.increment(), name=name, payload=payload))

    def hear(self, message: UserEventMessage) -> None:
        """One event."""
        self._hear(message)

    def hear_old(self, messages: Sequence[UserEventMessage]) -> None:
        """Events from a push/pull: delivered if new, not passed on."""
        for message in messages:
            self._deliver(message)

    def ignore_before_now(self) -> None:
        """What was sent before this moment is not news here."""
        self.seen.floor = max(self.seen.floor, self.context.event_clock.time + 1)

    def _hear(self, message: UserEventMessage) -> None:
        if self._deliver(message):
            self.context.broadcast(self.context.user_events, "", encode(message))

    def _deliver(self, message: UserEventMessage) -> bool:
        if not self.seen.is_news(message.time, (message.name, message.payload)):
            return False
        event = UserEvent(name=message.name, payload=message.payload, lamport_time=message.time)
        self.context.actions.append(Emit(Event(kind=EventKind.USER, user=event)))
        return True

    def recent(self) -> list[UserEventMessage]:
        """The newest events, for a push/pull."""
        return [
            UserEventMessage(time=time, name=name, payload=payload)
            for time, (name, payload) in self.seen.all()[-_EXCHANGED_MAX:]
        ]
