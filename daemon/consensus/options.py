"""LogOptions: bounds of the log. The defaults are what a server uses; tests make them small.

Source: architecture.md section 5; spec/gossip-and-raft.md 3.3, 3.4.
"""

from __future__ import annotations

from daemon.model.base import Strict

MIB = 1 << 20


class LogOptions(Strict, frozen=True, kw_only=True):
    """Bounds of queues, batches, and when a snapshot is taken."""

    #: proposals that wait; more are refused as busy.
    queue_entries_max: int = 8192
    queue_bytes_max: int = 64 * MIB
    #: proposals that share one sync.
    batch_entries_max: int = 512
    batch_bytes_max: int = 4 * MIB
    entry_bytes_max: int = 16 * MIB
    #: a snapshot is taken after so many entries, or so many bytes, since the last.
    snapshot_entries: int = 8192
    snapshot_bytes: int = 64 * MIB
    #: pause before a snapshot is tried again after it failed.
    snapshot_retry_s: float = 30.0
    #: the snapshot thread rests this long after each piece, so that the event loop gets its turns.
    snapshot_rest_s: float = 0.0005
    #: entries forgotten in one step of compaction.
    compact_entries: int = 256
    #: how long writes are refused at once after the disk was found full.
    full_pause_s: float = 1.0
    #: applying gives way to others on the loop after this long.
    apply_turn_s: float = 0.005
    #: for what is queued to be written at the end, and then for the disk to let go.
    close_timeout_s: float = 10.0
    release_timeout_s: float = 30.0
