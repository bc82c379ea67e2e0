"""What the reconciler decides for one group, before any node is looked for. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from daemon.model.alloc import Allocation
from daemon.model.enums import ClientStatus
from daemon.model.job import Job


@dataclass(frozen=True)
class Stop:
    """An allocation that ends in any case."""

    alloc: Allocation
    description: str
    client_status: ClientStatus | None = None


@dataclass(frozen=True)
class Replace:
    """A placement with a predecessor. `tied`: the predecessor ends only if the placement succeeds."""

    index: int
    previous: Allocation
    tied: bool
    reschedule: bool = False
    description: str = ""
    canary: bool = False


@dataclass
class GroupDecision:
    """One group's part of the plan-to-be."""

    name: str
    stops: list[Stop] = field(default_factory=list)
    #: destructive updates in index order.
    destructive: list[Replace] = field(default_factory=list)
    #: lost, migrated and rescheduled work.
    replacements: list[Replace] = field(default_factory=list)
    #: numbers of fresh placements.
    fresh: list[int] = field(default_factory=list)
    #: numbers of fresh canaries.
    canaries: list[int] = field(default_factory=list)
    #: while canaries run: the version that the others are replaced from. None: the newest.
    base: Job | None = None
    in_place: list[Allocation] = field(default_factory=list)
    #: failed, to be replaced later: (due, allocation).
    later: list[tuple[int, Allocation]] = field(default_factory=list)
    #: run on nodes out of sight, to be marked unknown: (lost when, allocation).
    unknown: list[tuple[int, Allocation]] = field(default_factory=list)
    #: came back and stay.
    reconnected: list[Allocation] = field(default_factory=list)
    #: lost, and replaced only after they have stopped themselves: (when, allocation).
    delayed: list[tuple[int, Allocation]] = field(default_factory=list)
    #: failed ones that wait for the word of a deployment's watcher.
    unasked: list[tuple[int, Allocation]] = field(default_factory=list)
    ignored: int = 0
    migrated: int = 0
    #: destructive updates that wait for the health of others.
    waiting: int = 0
    #: placements that the rollout holds back.
    held: int = 0

    @property
    def settled(self) -> bool:
        """Nothing is left to do in the group."""
        busy = self.placements or self.in_place or self.later or self.migrated or self.delayed
        return not (busy or self.waiting or self.held)

    def split_by_version(self) -> tuple[Job | None, GroupDecision]:
        """The base version, and a decision with what is replaced from it, which leaves this one."""
        older = GroupDecision(self.name)
        if self.base is not None:
            older.replacements = [request for request in self.replacements if not request.canary]
            self.replacements = [request for request in self.replacements if request.canary]
        return self.base, older

    @property
    def placements(self) -> int:
        """How many allocations it wants."""
        return len(self.destructive) + len(self.replacements) + len(self.fresh) + len(self.canaries)
