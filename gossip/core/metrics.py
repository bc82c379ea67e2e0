"""Counters and gauges of one member. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Metrics:
    """Monotonic counts since the start, and a few gauges. The shell adds its own."""

    packets_in: int = 0
    packets_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    streams_in: int = 0
    streams_out: int = 0
    stream_bytes_in: int = 0
    stream_bytes_out: int = 0
    decode_errors: dict[str, int] = field(default_factory=dict)
    """Dropped input by reason."""
    parts_lost: int = 0
    """Messages cut off truncated compounds."""
    refused: dict[str, int] = field(default_factory=dict)
    """Well-formed messages not believed, by reason."""
    probes: int = 0
    probes_failed: int = 0
    probes_by_stream: int = 0
    """Probes that only TCP answered: UDP is blocked on that path."""
    round_trip_s: float = 0.0
    """Smoothed round trip of direct probes."""
    suspected: int = 0
    buried: int = 0
    refuted: int = 0
    """Times this member had to say that it lives."""
    conflicts: int = 0
    """Times a name was claimed from two addresses."""
    late: int = 0
    """Times this process was away for longer than limits.LATE_S."""
    exchanges: int = 0
    exchanges_failed: int = 0
    health_score: int = 0
    """0 is healthy; above it this member doubts itself."""
    queue_depth: int = 0
    broadcasts_dropped: int = 0
    members_living: int = 0
    tombstones: int = 0
    feeds_resynced: int = 0
    """Times an event reader was too slow and was told to start anew."""
    streams_refused: int = 0
    """Inbound streams closed for lack of room."""
    send_errors: int = 0

    def dropped(self, reason: str) -> None:
        """Count undecodable input."""
        self.decode_errors[reason] = self.decode_errors.get(reason, 0) + 1

    def refuse(self, reason: str) -> None:
        """Count a message that was not believed."""
        self.refused[reason] = self.refused.get(reason, 0) + 1
