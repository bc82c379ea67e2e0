"""Progress: what a leader knows of one other server, and what is on its way there.

Theory: three states. PROBE: where the logs agree is not known; one append is sent, then none until an answer or a
heartbeat's echo. REPLICATE: appends are pipelined within a window, optimistically. SNAPSHOT: what the server needs is
no longer in the log; appends rest until the shell has sent it a snapshot.
Pure.

Source: spec/gossip-and-raft.md 3.4 "Leader".
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum

from daemon.consensus.raft.options import RaftOptions


class ProgressState(IntEnum):
    """How entries go to a server."""

    PROBE = 0
    REPLICATE = 1
    SNAPSHOT = 2


class Progress:
    """One other server, as its leader sees it. `match < next` always."""

    __slots__ = (
        "_in_flight",
        "_in_flight_bytes",
        "_options",
        "id",
        "is_active",
        "is_paused",
        "match",
        "match_at_heartbeat",
        "next",
        "round",
        "sent_commit",
        "silent_ticks",
        "state",
    )

    def __init__(self, server_id: str, next_index: int, options: RaftOptions) -> None:
        self.id = server_id
        self.state = ProgressState.PROBE
        #: durable there, and equal to the leader's log, up to this entry.
        self.match = 0
        self.next = next_index
        self.is_paused = False
        #: heard of since the last check of the quorum.
        self.is_active = True
        self.silent_ticks = 0
        #: the last round of heartbeats that it has echoed.
        self.round = 0
        self.sent_commit = 0
        self.match_at_heartbeat = -1
        self._options = options
        #: last index and bytes of each append on its way.
        self._in_flight: deque[tuple[int, int]] = deque()
        self._in_flight_bytes = 0

    @property
    def has_room(self) -> bool:
        """True while another append may be sent."""
        if self.state is ProgressState.REPLICATE:
            return (
                len(self._in_flight) < self._options.window_messages
                and self._in_flight_bytes < self._options.window_bytes
            )
        return self.state is ProgressState.PROBE and not self.is_paused

    def sent(self, last_index: int, size: int) -> None:
        """An append with entries up to `last_index` has left."""
        if self.state is ProgressState.REPLICATE:
            self._in_flight.append((last_index, size))
            self._in_flight_bytes += size
            self.next = last_index + 1
        else:
            self.is_paused = True

    def acked(self, index: int) -> bool:
        """The server has everything up to here. False: that was known."""
        in_flight = self._in_flight
        while in_flight and in_flight[0][0] <= index:
            self._in_flight_bytes -= in_flight.popleft()[1]
        if index <= self.match:
            return False
        self.match = index
        self.next = max(self.next, index + 1)
        return True

    def probe(self, next_index: int) -> None:
        """Find out again where the logs agree."""
        self._enter(ProgressState.PROBE)
        self.next = max(self.match + 1, next_index)

    def replicate(self) -> None:
        """The logs agree up to `match`: send what follows, pipelined."""
        self._enter(ProgressState.REPLICATE)
        self.next = self.match + 1

    def await_snapshot(self) -> None:
        """Send nothing until the shell has sent a snapshot."""
        self._enter(ProgressState.SNAPSHOT)

    def _enter(self, state: ProgressState) -> None:
        self.state = state
        self.is_paused = False
        self._in_flight.clear()
        self._in_flight_bytes = 0
