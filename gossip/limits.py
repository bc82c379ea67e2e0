"""Every bound of the package, each with its reason. Pure.

Theory: whatever comes from the network is kept within a named bound, so that no peer decides how much memory is used.
Source: memberlist's July 2026 hardening for the caps on streams; serf for event and query sizes.
"""

from __future__ import annotations

PACKET_BYTES_MAX = 1400
"""One UDP packet with all headers: fits an Ethernet frame with room for tunnels."""

NAME_BYTES_MAX = 128
"""A member's name: letters, digits, dot and dash, as host names have."""

META_BYTES_MAX = 512
"""A member's encoded tags: an `alive` message must fit into any packet."""

LABEL_BYTES_MAX = 200
"""The cluster's label, which goes in front of each packet and is part of what encryption authenticates."""

COMPOUND_PARTS_MAX = 255
"""Messages in one packet: the count is one byte."""

STREAM_BYTES_MAX = 20 * 1024 * 1024
"""One stream frame: the state of about 80,000 members."""

STREAM_PLAIN_BYTES_MAX = 40 * 1024 * 1024
"""A stream frame after decompression; output stops here whatever the input says."""

STREAM_ENTRIES_MAX = 1 << 20
"""Entries in one push/pull."""

STREAMS_INBOUND_MAX = 128
"""Streams served at once; the next one is closed at once."""

STREAM_BUFFERED_BYTES_MAX = 64 * 1024 * 1024
"""Bytes of all inbound streams together that wait for their frame's end."""

BROADCASTS_MAX = 4096
"""Intents, queries and events in the queue; enforced when one is added, never by a sweeper."""

RUMOURS_MAX = 1024
"""Bad news and intents about members not known yet, one a name; the oldest goes."""

RUMOUR_S = 300.0
"""How long such news is kept."""

TOMBSTONES_MAX = 4096
"""Dead and left members kept; the oldest are forgotten early beyond it."""

RELAYED_PROBES_MAX = 1024
"""Probes in flight on behalf of others; more are dropped."""

EVENT_SLOTS = 512
"""Lamport times of user events and of queries remembered to tell news from repeats."""

EVENT_SLOT_ENTRIES_MAX = 64
"""Different events (or queries) remembered for one Lamport time."""

EVENT_BYTES_MAX = 512
"""Name and payload of a user event."""

QUERY_BYTES_MAX = 1024
"""Name and payload of a query, or of one reply."""

QUERIES_OPEN_MAX = 256
"""Own queries that wait for replies."""

FEED_EVENTS_MAX = 1024
"""Events that one reader may leave unread before it is told to read the member table anew."""

DATAGRAMS_PER_TURN = 256
"""Packets taken from the socket before timers and other tasks get their turn."""

LATE_S = 0.25
"""A timer later than this means that this process was stopped, starved or collecting garbage."""

INCARNATION_MAX = (1 << 53) - 1
"""Incarnations and Lamport times above it are refused: nobody counts that far, and it leaves room to refute."""

SNAPSHOT_BYTES_MIN = 128 * 1024
"""A snapshot below this size is not compacted."""

SNAPSHOT_MEMBER_BYTES = 256
"""Bytes per member above which a snapshot is worth compacting."""

SNAPSHOT_LINES_PENDING_MAX = 65_536
"""Lines waiting for a slow disk; beyond it the file is rewritten from the table instead."""
