"""How long a suspect has to refute: the fewer members agree, the longer. Pure.

Theory: the time starts at its longest and shrinks with the logarithm of the number of different members that confirm
the suspicion. A sick accuser finds nobody to agree, so its victim has time; a real death is confirmed soon.
Source: Lifeguard paper (LHA-Suspicion); memberlist for the constants.
"""

from __future__ import annotations

import math

from gossip.config import Timing


def bounds_s(timing: Timing, members: int) -> tuple[float, float]:
    """Shortest and longest time for a cluster of this size, itself included."""
    scale = max(1.0, math.log10(max(1, members)))
    shortest = timing.suspicion.mult * scale * timing.probing.interval_s
    return shortest, timing.suspicion.max_mult * shortest


def wanted_confirmations(mult: int, members: int) -> int:
    """How many confirmations bring the time down to the shortest; 0 when there are too few members to give them."""
    wanted = mult - 2
    return wanted if wanted > 0 and members - 2 >= wanted else 0


def timeout_s(confirmed: int, wanted: int, shortest_s: float, longest_s: float) -> float:
    """Time from the accusation to the burial after so many confirmations, floored to milliseconds."""
    if wanted < 1:
        return shortest_s
    share = math.log(confirmed + 1) / math.log(wanted + 1)
    return max(shortest_s, math.floor((longest_s - share * (longest_s - shortest_s)) * 1000) / 1000)


class Suspicion:
    """One suspect's clock. The owner asks `due_s` again whenever `confirm` says that it moved."""

    __slots__ = ("accusers", "extended_to_s", "longest_s", "shortest_s", "started_s", "wanted")

    def __init__(self, timing: Timing, members: int, accuser: str, now: float) -> None:
        self.started_s = now
        self.shortest_s, self.longest_s = bounds_s(timing, members)
        self.wanted = wanted_confirmations(timing.suspicion.mult, members)
        self.accusers = [accuser]
        self.extended_to_s = 0.0

    @property
    def due_s(self) -> float:
        """When the suspect is to be buried."""
        confirmed = len(self.accusers) - 1
        due = self.started_s + timeout_s(confirmed, self.wanted, self.shortest_s, self.longest_s)
        return max(due, self.extended_to_s)

    def confirm(self, accuser: str) -> bool:
        """Whether this accuser is new and was still wanted: only then is its word passed on."""
        if len(self.accusers) > self.wanted or accuser in self.accusers:
            return False
        self.accusers.append(accuser)
        return True

    def extend(self, late_s: float, until_s: float) -> None:
        """This process was away for `late_s`, which does not count; nothing is due before `until_s`."""
        self.started_s += late_s
        self.extended_to_s = max(self.extended_to_s, until_s)
