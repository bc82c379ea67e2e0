"""Host volumes that a group asks for: which nodes could give them, and what its claims say. Pure.

Theory: a static volume is a column of the fleet; a dynamic one is a record with a node, given with the input. Where a
node has both of one name, its own (the static one) is meant. What holds for the whole group is a check like others;
what differs per allocation (the number in the source of a `per_alloc` volume, the claim that is left) is asked for one
allocation at a time.

Source: spec/scheduler.md 4.4 "Host volumes".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from daemon.model.alloc import Allocation
from daemon.model.job import Job, TaskGroup, VolumeRequest
from daemon.model.plan import EvalInput
from daemon.model.volume import READY, DynamicVolume, VolumeClaim, modes, shut_out, source_of
from daemon.scheduler.feasible import Check, holding, present
from daemon.state.columns import Mask
from daemon.state.deltas import VOLUME_READ_ONLY
from daemon.state.fleet import Fleet


class GroupVolumes:
    """The volumes of one job's groups, as one plan uses them."""

    def __init__(self, input_: EvalInput, job: Job, fleet: Fleet) -> None:
        self.job = job
        self.fleet = fleet
        self.writers = input_.writers
        self._named: dict[str, list[DynamicVolume]] = {}
        for volume in input_.volumes:
            self._named.setdefault(volume.name, []).append(volume)
        live = {alloc.id for alloc in input_.allocs if not alloc.terminal}
        self._claims = list(input_.claims)
        self._unmet = [claim for claim in self._claims if claim.alloc_id not in live]

    def by_one(self, group: TaskGroup) -> bool:
        """True when the nodes that serve differ from one allocation of the group to the next."""
        return any(request.per_alloc or request.sticky for request in group.volumes.values())

    def checks(self, group: TaskGroup) -> list[Check]:
        """What holds for every allocation of the group."""
        found: list[Check] = []
        for request in group.volumes.values():
            if request.per_alloc:
                found.append(self._any_of(request, group.count))
            else:
                found.extend(self._checks(group, request, source_of(request, 0)))
        return found

    def own(self, group: TaskGroup, index: int, previous: Allocation | None) -> list[Check]:
        """What holds besides for the allocation of that number, the successor of `previous`."""
        found: list[Check] = []
        for request in group.volumes.values():
            source = source_of(request, index)
            if request.per_alloc:
                found.extend(self._checks(group, request, source))
            if request.sticky:
                wanted = {claim.volume_id for claim in self._wanted(group, source, previous)}
                if wanted:
                    mask = self._rows(source, partial(_is_one_of, wanted))
                    reason = f'claimed sticky volume "{source}" is elsewhere'
                    found.append(Check("volume_claim", reason, mask, source))
        return found

    def took(self, group: TaskGroup, alloc: Allocation, previous: Allocation | None) -> None:
        """The plan has placed it: the claim that it meets is met."""
        for request in group.volumes.values():
            if not request.sticky:
                continue
            source = source_of(request, alloc.index)
            here = {volume.id for volume in self._named.get(source, ()) if volume.node_id == alloc.node_id}
            for claim in self._wanted(group, source, previous):
                if claim.volume_id in here:
                    self._claims.remove(claim)
                    if claim in self._unmet:
                        self._unmet.remove(claim)
                    break

    def _wanted(self, group: TaskGroup, source: str, previous: Allocation | None) -> list[VolumeClaim]:
        """The claims of which the next one must meet one: its predecessor's, or else any that is unmet."""
        ids = {volume.id for volume in self._named.get(source, ())}
        before = previous.id if previous is not None else ""
        own = [claim for claim in self._of(group, ids, self._claims) if claim.alloc_id == before]
        return own or list(self._of(group, ids, self._unmet))

    def _of(self, group: TaskGroup, ids: set[str], claims: Sequence[VolumeClaim]) -> Iterator[VolumeClaim]:
        return (claim for claim in claims if claim.task_group == group.name and claim.volume_id in ids)

    def _static(self, source: str) -> Mask:
        return present(self.fleet, f"volume.{source}")

    def _rows(self, source: str, keep: Callable[[DynamicVolume], bool] | None = None) -> Mask:
        """Rows of the nodes that have a dynamic volume of that name."""
        mask = np.zeros(self.fleet.length, dtype=np.bool_)
        for volume in self._named.get(source, ()):
            row = self.fleet.row_of.get(volume.node_id, -1)
            if row >= 0 and (keep is None or keep(volume)):
                mask[row] = True
        return mask

    def _any_of(self, request: VolumeRequest, count: int) -> Check:
        mask = np.zeros(self.fleet.length, dtype=np.bool_)
        for index in range(count):
            source = source_of(request, index)
            mask |= self._static(source) | self._rows(source)
        source = request.source or request.name
        return Check("volume", f'missing host volume "{source}[n]"', mask, f"{source}[n]")

    def _checks(self, group: TaskGroup, request: VolumeRequest, source: str) -> list[Check]:
        static, dynamic = self._static(source), self._rows(source) & ~self._static(source)
        checks = [Check("volume", f'missing host volume "{source}"', static | dynamic, source)]

        def unless(kind: str, reason: str, bad: Mask) -> None:
            if bad.any():
                checks.append(Check(kind, reason, ~bad, source))

        if not request.read_only:
            locked = holding(self.fleet, self.fleet.column(f"volume.{source}"), {str(VOLUME_READ_ONLY)})
            unless("volume_access", f'host volume "{source}" is read-only', locked)
        if request.sticky:
            unless("volume_sticky", f'host volume "{source}" is static, not for sticky use', static)
        if dynamic.any():
            key = (self.job.namespace, self.job.id, group.name)
            away = self._rows(source, lambda volume: volume.state != READY)
            unless("volume_state", f'host volume "{source}" is not ready', away & dynamic)
            access, attachment = modes(request)
            unfit = self._rows(source, lambda volume: not volume.offers(request))
            unless(
                "volume_mode", f'host volume "{source}" is not for {access}, {attachment}', unfit & dynamic
            )
            busy = self._rows(source, lambda volume: shut_out(request, key, self.writers.get(volume.id, ())))
            unless("volume_writer", f'host volume "{source}" has another writer', busy & dynamic)
        return checks


def _is_one_of(ids: set[str], volume: DynamicVolume) -> bool:
    return volume.id in ids
