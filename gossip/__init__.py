"""SWIM membership with Lifeguard, tags, intents, queries, events and encryption; a library of its own.

`Gossip` is a member of a cluster, `Config` describes it, `LAN`, `WAN` and `LOCAL` are timings. README.md in this folder
shows how to use them; core/ is the protocol as pure code, wire/ its bytes, shell/ the I/O, memory/ networks for tests.
"""

from gossip.config import LAN, LOCAL, WAN, Config, Timing
from gossip.core.metrics import Metrics
from gossip.errors import (
    ConfigError,
    DecodeError,
    GossipError,
    JoinFailed,
    KeyringError,
    NotRunning,
    RotationIncomplete,
    TooLarge,
)
from gossip.model import Event, EventKind, JoinResult, Member, QueryResult, Reply, Status, UserEvent, Versions
from gossip.shell.member import Gossip

__all__ = [
    "LAN",
    "LOCAL",
    "WAN",
    "Config",
    "ConfigError",
    "DecodeError",
    "Event",
    "EventKind",
    "Gossip",
    "GossipError",
    "JoinFailed",
    "JoinResult",
    "KeyringError",
    "Member",
    "Metrics",
    "NotRunning",
    "QueryResult",
    "Reply",
    "RotationIncomplete",
    "Status",
    "Timing",
    "TooLarge",
    "UserEvent",
    "Versions",
]
