"""The failure detector: one probe at a time, helpers and TCP when it gets no answer. Pure.

Theory: each interval one member is pinged. No answer within the timeout: helpers are asked to ping it, and TCP is
tried; no answer by the end of the interval (longer, the sicker this member is): it is suspected. Helpers that could
not reach it either say so (nack): then the fault is not ours, and missing nacks count against ourselves. An answer by
TCP alone counts as alive and is reported. A ping to a suspect carries the suspicion, so that it can refute at once.
Source: SWIM section 4; Lifeguard LHA-Probe and buddy system; memberlist for TCP. Helpers are picked by scanning a
shuffled copy in small clusters, where random places would miss the only candidate.
"""

from __future__ import annotations

from gossip import limits
from gossip.core.context import Context
from gossip.core.membership import Membership
from gossip.core.table import Record
from gossip.core.timers import Timer
from gossip.errors import DecodeError
from gossip.model import Address, State
from gossip.wire.codec import decode, encode
from gossip.wire.messages import Ack, IndirectPing, Nack, Ping, Suspect

_SMOOTHING = 0.125


class Probe:
    """One question in flight."""

    __slots__ = (
        "asked",
        "deadline_s",
        "nacks",
        "nacks_wanted",
        "op",
        "reached",
        "sequence",
        "started_s",
        "target",
    )

    def __init__(self, target: Record, sequence: int, started_s: float, deadline_s: float) -> None:
        self.target = target
        self.sequence = sequence
        self.started_s = started_s
        self.deadline_s = deadline_s
        self.asked = False
        self.nacks: list[Address] = []
        self.nacks_wanted = 0
        self.op = 0
        self.reached = False


class Prober:
    """Owns the probe in flight (at most one) and those that it runs for others."""

    def __init__(self, context: Context, membership: Membership) -> None:
        self.context = context
        self.membership = membership
        self.probe: Probe | None = None
        self._relayed: dict[int, tuple[Address, int, Timer]] = {}

    def start(self) -> None:
        """Begin at a random moment, so that members do not probe in step."""
        self.context.after(self.context.rng.random() * self.context.timing.probing.interval_s, self._tick)

    def _tick(self) -> None:
        context, probing = self.context, self.context.timing.probing
        context.after(probing.interval_s, self._tick)
        if self.probe is not None and self.probe.deadline_s <= context.now:
            self._conclude(self.probe)
        if self.probe is not None or self.membership.departing:
            return  # a tick that falls into a running probe is skipped
        target = context.table.next_target(self._keep_in_ring)
        if target is None:
            return
        context.metrics.probes += 1
        deadline = context.now + context.awareness.scale(probing.interval_s)
        probe = self.probe = Probe(target, context.next_sequence(), context.now, deadline)
        self._ping(target, probe.sequence)
        context.after(probing.timeout_s, lambda: self._ask_helpers(probe))
        context.timers.at(deadline, lambda: self._conclude(probe))

    def _keep_in_ring(self, record: Record) -> bool:
        return self.context.now - record.changed_s < self.context.timing.spreading.to_the_dead_s

    def _ping(self, target: Record, sequence: int) -> None:
        host, port = self.context.address
        ping = Ping(seq=sequence, node=target.name, source=self.context.name, host=host, port=port)
        parts = [encode(ping)]
        if target.state is State.SUSPECT:
            accusation = Suspect(incarnation=target.incarnation, node=target.name, accuser=self.context.name)
            parts.append(encode(accusation))
        self.context.send(target.address, parts)

    def _ask_helpers(self, probe: Probe) -> None:
        if probe is not self.probe:
            return
        context, target = self.context, probe.target
        probe.asked = True
        host, port = context.address
        helpers = context.table.pick(
            context.timing.probing.helpers,
            lambda record: record.state is State.ALIVE and record is not target,
        )
        for helper in helpers:
            nack = helper.versions.max >= 2
            probe.nacks_wanted += nack
            request = IndirectPing(
                seq=probe.sequence,
                node=target.name,
                host=target.host,
                port=target.port,
                nack=nack,
                source=context.name,
                source_host=host,
                source_port=port,
            )
            context.send(helper.address, [encode(request)])
        left_s = probe.deadline_s - context.now
        if left_s > 0:
            probe.op = context.next_op()
            ping = Ping(seq=probe.sequence, node=target.name, source=context.name)
            context.open_stream(probe.op, target.address, context.envelope.wrap_frame(encode(ping)), left_s)

    def hear_stream(self, op: int, data: bytes | None) -> bool:
        """The outcome of a TCP ping; False when `op` is not one."""
        probe = self.probe
        if probe is None or probe.op != op:
            return False
        if data is not None:
            try:
                message = decode(self.context.envelope.unwrap_frame(data)[0])
            except DecodeError as error:
                self.context.metrics.dropped(error.reason)
            else:
                probe.reached = isinstance(message, Ack) and message.seq == probe.sequence
        return True

    def hear_ack(self, message: Ack, source: Address) -> None:
        """An answer, to the own probe or to one run for somebody else."""
        probe, context = self.probe, self.context
        if probe is not None and message.seq == probe.sequence:
            self.probe = None
            context.awareness.change(-1)
            if not probe.asked:
                took_s = context.now - probe.started_s
                before = context.metrics.round_trip_s or took_s
                context.metrics.round_trip_s = before + _SMOOTHING * (took_s - before)
            return
        relayed = self._relayed.pop(message.seq, None)
        if relayed is not None:
            asker, sequence, timer = relayed
            timer.cancel()
            context.send(asker, [encode(Ack(seq=sequence))])

    def hear_nack(self, message: Nack, source: Address) -> None:
        """A helper could not reach the target either."""
        probe = self.probe
        if probe is not None and message.seq == probe.sequence and source not in probe.nacks:
            probe.nacks.append(source)

    def _conclude(self, probe: Probe) -> None:
        if probe is not self.probe:
            return
        self.probe = None
        context, target = self.context, probe.target
        if probe.reached:
            context.metrics.probes_by_stream += 1
            context.notice(
                "udp_blocked", target.name, "answers by TCP but not by UDP; look at firewalls and NAT"
            )
            return
        context.metrics.probes_failed += 1
        missed = probe.nacks_wanted - len(probe.nacks)
        context.awareness.change(max(0, missed) if probe.nacks_wanted else 1)
        if target.living:
            self.membership.hear_suspect(
                Suspect(incarnation=target.incarnation, node=target.name, accuser=context.name)
            )

    def abandon(self) -> None:
        """This process was away: the answer may have come and gone, so nobody is judged by it."""
        self.probe = None

    def hear_ping(self, message: Ping, source: Address) -> None:
        """Somebody asks whether this member is here; a question meant for another name is not answered."""
        if message.node and message.node != self.context.name:
            self.context.metrics.refuse("other_name")
            return
        address = (message.host, message.port) if message.host and message.port else source
        self.context.send(address, [encode(Ack(seq=message.seq))])

    def hear_indirect_ping(self, message: IndirectPing, source: Address) -> None:
        """Ping for somebody else."""
        context = self.context
        if len(self._relayed) >= limits.RELAYED_PROBES_MAX:
            context.metrics.refuse("relays_full")
            return
        asker = (message.source_host, message.source_port) if message.source_port else source
        sequence = context.next_sequence()
        due = context.now + context.timing.probing.timeout_s
        timer = context.timers.at(due, lambda: self._give_up(sequence, message.nack))
        self._relayed[sequence] = (asker, message.seq, timer)
        host, port = context.address
        ping = Ping(seq=sequence, node=message.node, source=context.name, host=host, port=port)
        context.send((message.host, message.port), [encode(ping)])

    def _give_up(self, sequence: int, nack: bool) -> None:
        relayed = self._relayed.pop(sequence, None)
        if relayed is not None and nack:
            self.context.send(relayed[0], [encode(Nack(seq=relayed[1]))])

    def check_invariants(self) -> None:
        """Raises: AssertionError when more is kept than is in flight."""
        assert len(self._relayed) <= limits.RELAYED_PROBES_MAX
        if self.probe is not None:
            assert self.probe.target.name != self.context.name, "a member probes itself"
