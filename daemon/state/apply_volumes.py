"""Apply: records of dynamic host volumes, and what placements do to them.

Theory: between a plan and its commit another group may have begun to write; the one who comes second is left out. A
claim is written with the placement. A placement takes over an unmet claim on its volume (or that of the allocation
that it replaces) rather than adding one, so that a group has as many claims as it had allocations at once.
Pure.

Source: spec/scheduler.md 1.5, 4.4 "Host volumes".
"""

from __future__ import annotations

from daemon.model.alloc import Allocation
from daemon.model.enums import JobType
from daemon.model.errors import InvalidInput
from daemon.model.job import Job, TaskGroup
from daemon.model.volume import (
    ACCESS_MODES,
    ATTACHMENT_MODES,
    VOLUME_STATES,
    DynamicVolume,
    VolumeClaim,
    shut_out,
)
from daemon.state.commands import VolumesForget, VolumesPut
from daemon.state.draft import Draft
from daemon.state.volumes import Volumes


def apply_volumes_put(draft: Draft, command: VolumesPut) -> None:
    """Insert or change volumes: all of them, or none."""
    known = {row.id: (row.namespace, row.name, row.node_id) for row in draft.tables.volumes.values()}
    taken = {key: volume_id for volume_id, key in known.items()}
    for volume in command.volumes:
        key = (volume.namespace, volume.name, volume.node_id)
        fault = _fault(draft, volume)
        if not fault and known.setdefault(volume.id, key) != key:
            fault = "its id is that of another volume; name, namespace and node of a volume never change"
        if not fault and taken.setdefault(key, volume.id) != volume.id:
            fault = f"node {volume.node_id} has volume {taken[key]} of that name and namespace"
        if fault:
            draft.changes.result = InvalidInput(
                f'volume "{volume.name}" ({volume.id or "without an id"}): {fault}', volume_id=volume.id
            )
            return
    for volume in command.volumes:
        draft.put_volume(volume)
    for evaluation in command.evaluations:
        draft.put_eval(evaluation)


def apply_volumes_forget(draft: Draft, command: VolumesForget) -> None:
    """Remove volumes, and the claims on them. The allocations that use them go on."""
    gone = set(command.volume_ids)
    rows = [row for row in draft.tables.volumes.values() if row.id in gone]
    for row in rows:
        draft.remove_volume(row)
    for volume_id in sorted(gone - {row.id for row in rows}):
        draft.drop(volume_id, "there is no such volume")
    for claims in list(draft.tables.claims.values()):
        kept = tuple(claim for claim in claims if claim.volume_id not in gone)
        if len(kept) != len(claims):
            draft.put_claims((claims[0].namespace, claims[0].job_id), kept)


def refused(draft: Draft, job: Job, group: TaskGroup, node_id: str, index: int) -> str:
    """Why an allocation may not use the volumes of that node now; "" when it may."""
    volumes = Volumes(draft.tables)
    for request, volume in volumes.asked_for(job, group, node_id, index):
        if not request.read_only and shut_out(
            request, (job.namespace, job.id, group.name), volumes.writers(volume)
        ):
            return f'volume "{volume.name}" ({volume.id}) has a writer of another group'
    return ""


def claim_volumes(draft: Draft, job: Job, group: TaskGroup, alloc: Allocation) -> None:
    """Write down what a sticky group has got with an allocation that was just stored."""
    if job.type in (JobType.SYSTEM, JobType.SYSBATCH):
        # they are on every node anyway.
        return
    for request, volume in Volumes(draft.tables).asked_for(job, group, alloc.node_id, alloc.index):
        if request.sticky:
            _claim(draft, job, group, volume, alloc)


def _claim(draft: Draft, job: Job, group: TaskGroup, volume: DynamicVolume, alloc: Allocation) -> None:
    claims = list(draft.tables.claims.get(job.key) or ())
    made = VolumeClaim(
        namespace=job.namespace,
        job_id=job.id,
        task_group=group.name,
        volume_id=volume.id,
        alloc_id=alloc.id,
    )
    mine = [
        at
        for at, claim in enumerate(claims)
        if claim.task_group == group.name and claim.volume_id == volume.id
    ]
    own = [at for at in mine if claims[at].alloc_id == alloc.previous_allocation]
    over = own or [at for at in mine if _unmet(draft, claims[at])]
    if over:
        claims[over[0]] = made
    else:
        claims.append(made)
    draft.put_claims(job.key, tuple(claims))


def _unmet(draft: Draft, claim: VolumeClaim) -> bool:
    alloc = draft.tables.allocs.get(claim.alloc_id)
    return alloc is None or alloc.terminal


def _fault(draft: Draft, volume: DynamicVolume) -> str:
    if not volume.id or not volume.name:
        return "a volume has an id and a name"
    if draft.tables.nodes.get(volume.node_id) is None:
        return f"there is no node {volume.node_id!r}"
    if volume.state not in VOLUME_STATES:
        return f"its state {volume.state!r} is none of {', '.join(VOLUME_STATES)}"
    for access, attachment in volume.capabilities:
        if access not in ACCESS_MODES or attachment not in ATTACHMENT_MODES:
            return f"there is no access mode {access!r} with attachment mode {attachment!r}"
    return ""
