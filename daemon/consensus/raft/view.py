"""CoreView: what the shell, autopilot and operators may see of a core.

Pure.

Source: spec/gossip-and-raft.md 3.4; daemon/consensus/port.py.
"""

from __future__ import annotations

from daemon.consensus.port import Role
from daemon.consensus.raft.changing import Changing
from daemon.consensus.raft.context import Context
from daemon.consensus.raft.leading import Leading
from daemon.consensus.raft.members import Config
from daemon.consensus.raft.progress import Progress


class CoreView:
    """The part of a core that only tells."""

    _context: Context
    _leading: Leading
    _changing: Changing

    @property
    def server_id(self) -> str:
        """This server."""
        return self._context.server_id

    @property
    def role(self) -> Role:
        """What this server is now."""
        return self._context.role

    @property
    def term(self) -> int:
        """The current term."""
        return self._context.term

    @property
    def leader(self) -> str:
        """Who leads, as far as is known; "" when it is not."""
        return self._context.leader

    @property
    def last_index(self) -> int:
        """Index of the newest entry, persisted or not."""
        return self._context.log.last_index

    @property
    def commit_index(self) -> int:
        """Index of the newest entry known to be committed."""
        return self._context.commit_index

    @property
    def persisted_index(self) -> int:
        """Index of the newest entry that is durable here."""
        return self._context.log.persisted_index

    @property
    def config(self) -> Config:
        """The members in force."""
        return self._context.config

    @property
    def fault(self) -> str:
        """Why this server takes no part any more, and what to do; "" while it does."""
        return self._context.fault

    @property
    def is_removed(self) -> bool:
        """True when a member has said that this server is none any more."""
        return self._context.is_removed

    @property
    def silent_ticks(self) -> int:
        """Ticks since a leader was heard; 0 for the leader itself."""
        return 0 if self.role is Role.LEADER else self._context.silence

    @property
    def peers(self) -> tuple[Progress, ...]:
        """What a leader knows of the others, to be read only; empty when this server does not lead."""
        return tuple(self._leading.peers.values())

    @property
    def successor(self) -> str:
        """Whom leadership is being handed to; "" nobody."""
        return self._changing.successor

    def members_at(self, index: int) -> Config:
        """Who the members were at an index that is still in the log; a snapshot at it must contain them."""
        return self._context.history.at(index)

    def term_at(self, index: int) -> int:
        """Term of an entry in memory; -1 when it is not there."""
        return self._context.log.term(index)
