"""Join and leave intents: what members plan, ordered by a Lamport clock. Pure.

Theory: each member's record keeps the time of the newest intent, also when that changed nothing: forgetting it makes
two members repeat each other's intents for ever. An intent is passed on only if it was new. Intents about unknown
names wait, one a name. A leave intent about a living member that does not want to leave is answered by that member
with a later join intent; about a failed one it means that it will not come back.
Source: serf's intents; consul#7960 and #1062 for the storms.
"""

from __future__ import annotations

from gossip.core.context import Context
from gossip.core.membership import Membership
from gossip.model import State
from gossip.wire.codec import encode
from gossip.wire.messages import JoinIntent, LeaveIntent


class Intents:
    """Reads and makes intents; the status itself is membership's."""

    def __init__(self, context: Context, membership: Membership) -> None:
        self.context = context
        self.membership = membership

    def announce_join(self) -> None:
        """Tell everybody that this member joins."""
        time = self.context.member_clock.increment()
        self.membership.me.status_time = time
        self._broadcast(JoinIntent(time=time, node=self.context.name))

    def announce_leave(self, name: str) -> LeaveIntent:
        """A new leave intent, applied here; the caller broadcasts it."""
        intent = LeaveIntent(time=self.context.member_clock.increment(), node=name)
        record = self.context.table.get(name)
        if record is not None:
            record.status_time = intent.time
            self.membership.set_leaving(record, True)
        return intent

    def force_leave(self, name: str) -> None:
        """Say of a failed member that it will not come back."""
        self._broadcast(self.announce_leave(name))

    def hear_leave(self, message: LeaveIntent) -> None:
        """Somebody plans to leave."""
        if not self._is_news(message.node, message.time, leave=True):
            return
        record = self.context.table.get(message.node)
        if record is self.membership.me and not self.membership.departing and not record.leaving:
            self.announce_join()  # not true of me; a later intent says so
            return
        if record is not None:
            self.membership.set_leaving(record, True)
        self._broadcast(message)

    def hear_join(self, message: JoinIntent) -> None:
        """Somebody joins, or does not leave after all."""
        if self.note_join(message.node, message.time):
            self._broadcast(message)

    def note_join(self, name: str, time: int) -> bool:
        """As `hear_join`, not passed on: from push/pulls. Returns whether it was new."""
        if not self._is_news(name, time, leave=False):
            return False
        record = self.context.table.get(name)
        if record is not None and record.leaving and record.living and record is not self.membership.me:
            self.membership.set_leaving(record, False)
        return True

    def note_left(self, name: str, time: int) -> None:
        """A push/pull says that somebody has left: true of whom we believe failed, if the news is not older."""
        record = self.context.table.get(name)
        if record is not None and record.state is State.DEAD and self._is_news(name, time, leave=True):
            self.membership.set_leaving(record, True)

    def _is_news(self, name: str, time: int, *, leave: bool) -> bool:
        self.context.member_clock.witness(time)
        record = self.context.table.get(name)
        if record is not None:
            if time <= record.status_time:
                return False
            record.status_time = time
            return True
        rumour = self.context.table.rumour(name, self.context.now)
        if time <= rumour.status_time:
            return False
        rumour.status_time, rumour.leave = time, leave
        return True

    def _broadcast(self, message: LeaveIntent | JoinIntent) -> None:
        self.context.broadcast(self.context.intents, message.node, encode(message))
