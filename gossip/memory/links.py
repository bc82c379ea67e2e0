"""What links do to packets: loss, delay, duplication, reordering, partitions, one-way links, blocked UDP or TCP. Pure.

Theory: `carry` decides for one packet at which later moments it arrives (none: lost; two: duplicated). Delays are drawn
for each packet anew, so packets overtake each other. Streams are reliable: they fail or they arrive, once.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from gossip.model import Address

Path = tuple[Address, Address]


@dataclass
class Links:
    """The rules of one network; change them at any time."""

    rng: random.Random
    loss: float = 0.0
    """Share of packets lost."""
    duplicate: float = 0.0
    """Share of packets that arrive twice."""
    delay_s: tuple[float, float] = (0.0005, 0.002)
    """Shortest and longest one-way delay."""
    slow: float = 0.0
    """Share of packets that take `slow_s` instead: heavy reordering."""
    slow_s: float = 0.3
    cut: set[Path] = field(default_factory=set)
    """One-way paths that carry nothing."""
    no_packets: set[Path] = field(default_factory=set)
    """One-way paths on which packets are blocked and streams work."""
    no_streams: set[Path] = field(default_factory=set)
    """One-way paths on which streams are blocked and packets work."""
    side: dict[Address, int] = field(default_factory=dict)
    """Partition: members of different sides do not hear each other; side 0 if not named."""

    def partition(self, *sides: list[Address]) -> None:
        """Split: the given groups, and a last one of everybody else."""
        self.side = {address: number for number, group in enumerate(sides, 1) for address in group}

    def heal(self) -> None:
        """Undo partitions and cuts; loss and delays stay."""
        self.side = {}
        self.cut.clear()
        self.no_packets.clear()
        self.no_streams.clear()

    def reaches(self, source: Address, target: Address) -> bool:
        """Whether anything passes this way."""
        same = self.side.get(source, 0) == self.side.get(target, 0) if self.side else True
        return same and (source, target) not in self.cut

    def streams_pass(self, source: Address, target: Address) -> bool:
        """Whether a stream can be opened: TCP needs both ways."""
        if (source, target) in self.no_streams:
            return False
        return self.reaches(source, target) and self.reaches(target, source)

    def carry(self, source: Address, target: Address) -> list[float]:
        """Delays after which copies of one packet arrive."""
        if not self.reaches(source, target) or (source, target) in self.no_packets:
            return []
        rng = self.rng
        if self.loss and rng.random() < self.loss:
            return []
        arrivals = [self._delay_s()]
        if self.duplicate and rng.random() < self.duplicate:
            arrivals.append(self._delay_s())
        return arrivals

    def _delay_s(self) -> float:
        if self.slow and self.rng.random() < self.slow:
            return self.slow_s * (0.5 + self.rng.random())
        low, high = self.delay_s
        return low + (high - low) * self.rng.random()

    def stream_delay_s(self) -> float:
        """One way of a stream: lost segments are sent again, which takes time instead of data."""
        again = 0.2 if self.loss and self.rng.random() < self.loss else 0.0
        return self._delay_s() + again
