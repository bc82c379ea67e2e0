"""Configuration: frozen groups with a reason for each default, presets, and checks across fields. Pure.

Theory: `LAN`, `WAN` and `LOCAL` are timings for three kinds of network. A member's `Config` names one of them and says
who and where the member is. All members of a cluster should use the same timings.
Source: the published defaults of memberlist and serf; spec section 1.8.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from gossip import limits
from gossip.errors import ConfigError
from gossip.model import PROTOCOL_MAX, PROTOCOL_MIN, Address, valid_name


class Probing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the failure detector asks."""

    interval_s: float = 1.0
    """Seconds between probes, one target each. Detection takes about 1.6 of them; traffic grows with 1/interval."""
    timeout_s: float = 0.5
    """Seconds to wait for a direct answer before others are asked to try: the 99th percentile of the round trip."""
    helpers: int = 3
    """Members asked to probe on our behalf. 3 of them lose all answers at 10% loss in under 1% of probes."""
    awareness_max: int = 8
    """Bound of the own-health score: a sick member probes up to this many times slower."""


class Suspicion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a suspect has to speak for itself."""

    mult: int = 4
    """Shortest time = mult x log10(members) x probe interval; also wants mult - 2 confirmations."""
    max_mult: int = 6
    """Longest time (nobody confirms) = max_mult x the shortest. Protects against one sick accuser."""


class Spreading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How news travels."""

    interval_s: float = 0.2
    """Seconds between gossip ticks while there is news."""
    fanout: int = 3
    """Members told per tick."""
    retransmit_mult: int = 4
    """Each message is sent mult x max(floor, ceil(log10(members + 1))) times by each member."""
    retransmit_floor: int = 3
    """The floor for small clusters: below it some never hear a message at 10-30% loss. 1 turns it off."""
    to_the_dead_s: float = 30.0
    """Seconds for which the dead are still told, so that a member buried by mistake hears of it and refutes."""


class Exchange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Full state exchanges over TCP (push/pull), which repair what gossip missed."""

    interval_s: float = 30.0
    """Seconds between exchanges; grows with log2(members) above 32 so that the load stays flat. 0 = never."""
    timeout_s: float = 10.0
    """Seconds that one stream may take, from connecting to the reply."""


class Lifecycle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Members that fail, leave and come back."""

    reconnect_interval_s: float = 30.0
    """Seconds between attempts to reach a failed member: heals partitions. 0 = never."""
    reconnect_timeout_s: float = 72 * 3600.0
    """Seconds after which a failed member is forgotten (reaped)."""
    tombstone_timeout_s: float = 72 * 3600.0
    """Seconds after which a member that left is forgotten."""
    reap_interval_s: float = 15.0
    """Seconds between looks for members to forget."""
    reclaim_s: float = 30.0
    """Seconds after a death when another machine may take over the name. 0 = never."""
    broadcast_timeout_s: float = 5.0
    """Seconds to wait until a leave has been told."""
    leave_delay_s: float = 1.0
    """Seconds for which a leaver still answers, so that its leave spreads and nobody suspects it meanwhile."""


class Queries(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Questions to all members."""

    timeout_mult: int = 16
    """Deadline of a query = gossip interval x mult x ceil(log10(members + 1))."""


class Timing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All timings. Take a preset and change single fields with `msgspec.structs.replace`."""

    probing: Probing = Probing()
    """Failure detection."""
    suspicion: Suspicion = Suspicion()
    """Time to refute."""
    spreading: Spreading = Spreading()
    """Gossip."""
    exchange: Exchange = Exchange()
    """Push/pull."""
    lifecycle: Lifecycle = Lifecycle()
    """Reconnecting, reaping, leaving."""
    queries: Queries = Queries()
    """Queries."""


LAN = Timing()
"""One data centre: a death is known to all 5 members in about 6 s."""

WAN = Timing(
    probing=Probing(interval_s=5.0, timeout_s=3.0),
    suspicion=Suspicion(mult=6),
    spreading=Spreading(interval_s=0.5, fanout=4, to_the_dead_s=60.0),
    exchange=Exchange(interval_s=60.0, timeout_s=30.0),
)
"""Across data centres: patient, about 40 s to bury a member."""

LOCAL = Timing(
    probing=Probing(timeout_s=0.2, helpers=1),
    suspicion=Suspicion(mult=3),
    spreading=Spreading(interval_s=0.1, retransmit_mult=2, to_the_dead_s=15.0),
    exchange=Exchange(interval_s=15.0, timeout_s=1.0),
    lifecycle=Lifecycle(reconnect_interval_s=10.0, leave_delay_s=0.3),
)
"""Loopback: for development and tests."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One member: who it is, where it listens, which cluster and keys, and the timings."""

    name: str
    """Unique in the cluster: at most 128 letters, digits, dots, dashes and underscores."""
    host: str = "0.0.0.0"
    """IP address to listen on, UDP and TCP."""
    port: int = 7946
    """Port to listen on; 0 takes a free one."""
    advertise_host: str = ""
    """IP address that others are told; empty: `host`, or the address of the default route if that is a wildcard."""
    advertise_port: int = 0
    """Port that others are told; 0: the one listened on."""
    member_id: str = ""
    """Lasting identity of this member's data (a uuid). With one, the same member may come back under another
    address at once; without, its name is free only after `reclaim_s`."""
    label: str = ""
    """The cluster's id: packets of other labels are dropped, and with keys it is authenticated. Empty: none."""
    tags: Mapping[str, str] = {}
    """Small facts told to everybody; encoded at most 512 bytes."""
    required_tags: Mapping[str, str] = {}
    """Tags that every member must bear; others are refused at join and whenever they are heard of."""
    keys: tuple[bytes, ...] = ()
    """AES keys of 16, 24 or 32 bytes; the first encrypts, all decrypt. Empty: no encryption."""
    verify_incoming: bool = True
    """With keys: refuse packets in clear. False only while encryption is being turned on in a running cluster."""
    verify_outgoing: bool = True
    """With keys: encrypt what is sent. False only while encryption is being turned on."""
    keyring_path: str = ""
    """File (0600) that keeps the keys over restarts; read in preference to `keys`. Empty: not kept."""
    snapshot_path: str = ""
    """File of known members and clocks, to find the cluster again after a restart. Empty: none."""
    rejoin_after_leave: bool = False
    """Rejoin from the snapshot even when the last life ended by a leave."""
    ignore_old_events: bool = True
    """Do not deliver user events that were sent before this member joined."""
    protocol: int = PROTOCOL_MAX
    """Protocol version to speak; lower it during a rolling upgrade until every member understands the new one."""
    timing: Timing = LAN
    """The preset, possibly changed."""


def validate(config: Config) -> None:
    """Check every field and how they fit together. Raises: ConfigError with all complaints at once."""
    problems = [*_identity_problems(config), *_timing_problems(config.timing)]
    if problems:
        raise ConfigError(f"configuration of member {config.name!r}: " + "; ".join(problems))


def _identity_problems(config: Config) -> list[str]:
    problems = []
    if not valid_name(config.name):
        problems.append(f"name must be 1-{limits.NAME_BYTES_MAX} of letters, digits, '.', '_' and '-'")
    for field in ("host", "advertise_host"):
        value = getattr(config, field)
        if value and not _is_ip(value):
            problems.append(f"{field} must be an IP address, not {value!r}")
    for field in ("port", "advertise_port"):
        if not 0 <= getattr(config, field) <= 65535:
            problems.append(f"{field} must be 0-65535")
    if config.advertise_host in ("0.0.0.0", "::"):
        problems.append("advertise_host must be an address that others can reach, not a wildcard")
    if len(config.label.encode()) > limits.LABEL_BYTES_MAX:
        problems.append(f"label must be at most {limits.LABEL_BYTES_MAX} bytes")
    if len(config.member_id) > limits.NAME_BYTES_MAX:
        problems.append(f"member_id must be at most {limits.NAME_BYTES_MAX} bytes")
    if any(len(key) not in (16, 24, 32) for key in config.keys):
        problems.append("keys must be of 16, 24 or 32 bytes")
    if not PROTOCOL_MIN <= config.protocol <= PROTOCOL_MAX:
        problems.append(f"protocol must be {PROTOCOL_MIN}-{PROTOCOL_MAX}")
    missing = {key: value for key, value in config.required_tags.items() if config.tags.get(key) != value}
    if missing:
        problems.append(f"tags must have what required_tags asks for: {dict(missing)!r}")
    return problems


def _timing_problems(timing: Timing) -> list[str]:
    problems = []
    probing, suspicion, spreading = timing.probing, timing.suspicion, timing.spreading
    if probing.timeout_s <= 0 or probing.interval_s <= probing.timeout_s:
        problems.append("probing: 0 < timeout_s < interval_s, or helpers would have no time to answer")
    if probing.helpers < 0:
        problems.append("probing: helpers must be 0 or more")
    if not 1 <= probing.awareness_max <= 64:
        problems.append("probing: awareness_max must be 1-64")
    if suspicion.mult < 1 or suspicion.max_mult < 1:
        problems.append("suspicion: mult and max_mult must be 1 or more")
    if spreading.interval_s <= 0 or spreading.fanout < 1 or spreading.retransmit_mult < 1:
        problems.append("spreading: interval_s, fanout and retransmit_mult must be positive")
    if spreading.retransmit_floor < 1:
        problems.append("spreading: retransmit_floor must be 1 or more")
    if spreading.interval_s > probing.interval_s:
        problems.append(
            "spreading: interval_s must not exceed probing's, or suspects hear too late to refute"
        )
    if timing.exchange.interval_s < 0 or timing.exchange.timeout_s <= 0:
        problems.append("exchange: interval_s must be 0 or more and timeout_s positive")
    life = timing.lifecycle
    if min(life.reconnect_interval_s, life.reclaim_s, life.broadcast_timeout_s, life.leave_delay_s) < 0:
        problems.append("lifecycle: no field may be negative")
    if life.reap_interval_s <= 0:
        problems.append("lifecycle: reap_interval_s must be positive")
    if min(life.reconnect_timeout_s, life.tombstone_timeout_s) < max(spreading.to_the_dead_s, life.reclaim_s):
        problems.append(
            "lifecycle: timeouts must not be below to_the_dead_s and reclaim_s, or the dead return"
        )
    if timing.queries.timeout_mult < 1:
        problems.append("queries: timeout_mult must be 1 or more")
    return problems


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def advertised(config: Config, bound: Address) -> Address:
    """The address that others are told, given the one that was bound."""
    return (config.advertise_host or bound[0], config.advertise_port or bound[1])


PRESETS: Mapping[str, Timing] = MappingProxyType({"lan": LAN, "wan": WAN, "local": LOCAL})
"""The presets by name, for command lines."""
