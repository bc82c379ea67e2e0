"""Service and batch: reconcile, place, report. Pure.

Source: spec/scheduler.md 3.2, 6.
"""

from __future__ import annotations

from daemon.model.alloc import Allocation
from daemon.model.job import Job
from daemon.model.plan import AllocStop, Attempt, EvalInput, GroupAnnotation, InPlaceUpdate
from daemon.scheduler.decision import GroupDecision, Stop
from daemon.scheduler.ids import Ids
from daemon.scheduler.outcome import Outcome
from daemon.scheduler.place import Placer
from daemon.scheduler.reconcile import Reconciler
from daemon.state.fleet import Fleet


def stop_record(stop: Stop) -> AllocStop:
    """As the plan carries it."""
    return AllocStop(
        alloc_id=stop.alloc.id,
        node_id=stop.alloc.node_id,
        desired_description=stop.description,
        client_status=stop.client_status,
    )


def in_place(job: Job, alloc: Allocation, deployment_id: str) -> InPlaceUpdate:
    """The allocation goes on under the newest version, as a member of its deployment, if there is one."""
    return InPlaceUpdate(
        alloc_id=alloc.id,
        node_id=alloc.node_id,
        job_version=job.version,
        job_spec_index=job.job_modify_index,
        allocated_resources=alloc.allocated_resources,
        deployment_id=deployment_id,
    )


def generic_attempt(input_: EvalInput, fleet: Fleet) -> Attempt:
    """One pass over a service or batch job."""
    ids = Ids(input_.seed, input_.evaluation.id, input_.attempt)
    outcome = Outcome(input_, fleet, ids)
    placer = Placer(input_, input_.job, fleet, ids) if input_.job else None
    serves = placer.serves if placer else lambda _alloc, _group: False
    reconciler = Reconciler(input_, serves)
    decisions = reconciler.run()
    rollouts, new_id = reconciler.rollouts, ids.uuid()
    outcome.deployment = rollouts.new_deployment(input_.evaluation, new_id, input_.now_ns)
    outcome.deployment_changes = rollouts.changes
    for decision in decisions:
        for stop in decision.stops:
            outcome.stops.append(stop_record(stop))
            if placer:
                placer.working.stop(stop.alloc)
        outcome.waits(decision)
        outcome.annotations[decision.name] = _annotation(decision)
    for decision in decisions:
        group = input_.job.group(decision.name) if input_.job else None
        if placer is None or group is None or input_.job is None:
            continue
        member = rollouts.member(group.name, new_id)
        outcome.in_place.extend(in_place(input_.job, alloc, member) for alloc in decision.in_place)
        outcome.queued[group.name] = 0
        base, older = decision.split_by_version()
        if base is not None and (old_group := base.group(group.name)) is not None:
            outcome.add(group.name, placer.of_version(base).place(old_group, older))
        placer.deployment_id = member
        outcome.add(group.name, placer.place(group, decision))
    if placer is not None:
        placer.working.close()
    preemption = placer.preemption if placer is not None else None
    return outcome.attempt(preemption.wanted if preemption is not None else ())


def _annotation(decision: GroupDecision) -> GroupAnnotation:
    now = sum(1 for request in decision.replacements if request.reschedule)
    return GroupAnnotation(
        ignore=decision.ignored,
        place=len(decision.fresh) + len(decision.replacements) - now - decision.migrated,
        migrate=decision.migrated,
        stop=len(decision.stops) - decision.migrated,
        in_place_update=len(decision.in_place),
        destructive_update=len(decision.destructive) + decision.waiting,
        canary=len(decision.canaries),
        reschedule_now=now,
        reschedule_later=len(decision.later),
    )
