"""RaftOptions: times in ticks, and the bounds of everything that could grow.

Theory: a tick is the shell's unit of time (100 ms on a LAN). Whoever drives the core decides how long it is, so that
slow links and busy machines scale all times together.
Pure.

Source: spec/gossip-and-raft.md 3.3 (timers), 3.4 (limits).
"""

from __future__ import annotations

from daemon.model.base import Strict

MIB = 1 << 20


class RaftOptions(Strict, frozen=True, kw_only=True):
    """Times and bounds of one server's core."""

    #: between two heartbeats of a leader.
    heartbeat_ticks: int = 1
    #: the least silence after which a leader is given up; the real one is drawn between this and twice this.
    election_ticks: int = 10
    #: one append carries no more than this.
    append_entries_max: int = 512
    append_bytes_max: int = MIB
    #: appends on their way to one server.
    window_messages: int = 32
    window_bytes: int = 16 * MIB
    #: a leader refuses proposals while so much is not committed.
    uncommitted_bytes_max: int = 64 * MIB
    #: entries given out for applying before `applied` must have been heard.
    apply_entries_max: int = 4096
    #: reads that wait for a round of heartbeats.
    reads_max: int = 8192
    #: a non-voter further behind than this is not promoted.
    promote_lag_entries: int = 250
