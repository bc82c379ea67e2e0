"""From chosen rows to what a plan carries: blocks of columns, or single allocations. Pure.

Source: architecture.md "State" (blocks); spec/scheduler.md 1.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from daemon.model.alloc import Allocation, AllocBlock, AllocHealth, PortColumn
from daemon.model.errors import InvariantBroken
from daemon.model.job import TaskGroup
from daemon.model.metrics import AllocMetric
from daemon.model.resources import AllocatedPort, AllocatedShared, Port
from daemon.scheduler import reschedule
from daemon.scheduler.addresses import address_of
from daemon.scheduler.decision import Replace
from daemon.scheduler.ports import choose_ports
from daemon.scheduler.ranker import Ranker
from daemon.scheduler.unit_ask import Given
from daemon.scheduler.usage import group_resources, with_units
from daemon.state.columns import Ints

if TYPE_CHECKING:
    from daemon.scheduler.place import Placer


#: below this, plain Python is faster than numpy.
_FEW = 64


def block_of(
    placer: Placer,
    group: TaskGroup,
    rows: list[int],
    indexes: list[int],
    ranker: Ranker,
    metric: AllocMetric,
    *,
    canary: bool = False,
) -> AllocBlock:
    """Place one allocation on each of `rows` and write them as columns.

    Rows may repeat; of a group that asks for cores or devices it is one at a time.
    """
    fleet, working = placer.fleet, placer.working
    distinct, positions, counts = _tallied(rows)
    resources = group_resources(group, placer.input.config)
    if ranker.units:
        [row] = rows
        given = ranker.given(row)
        if given is None:
            raise _nothing_free("cores or devices", group, row, placer)
        resources = with_units(resources, given)
        ports = _place_with_ports(placer, group, rows, ranker, tuple(given.names()))
    elif ranker.ports:
        ports = _place_with_ports(placer, group, rows, ranker)
    else:
        working.place_many(distinct, counts, group.name, ranker.ask)
        ports = []
    nodes = distinct.tolist()
    return AllocBlock(
        namespace=placer.job.namespace,
        job_id=placer.job.id,
        job_version=placer.job.version,
        job_spec_index=placer.job.job_modify_index,
        task_group=group.name,
        eval_id=placer.input.evaluation.id,
        deployment_id=placer.deployment_id,
        canary=canary,
        count=len(rows),
        ids=placer.ids.uuids(len(rows)),
        nodes=tuple(fleet.ids[row] for row in nodes),
        node_names=tuple(fleet.names[row] for row in nodes),
        node_epochs=tuple(fleet.epochs[distinct].tolist()),
        node_rows=positions.astype("<u4").tobytes(),
        indexes=np.array(indexes[: len(rows)], dtype="<u4").tobytes(),
        ports=_columns(ports, nodes, placer, ranker),
        allocated_resources=resources,
        metrics=metric,
        create_time_ns=placer.input.now_ns,
    )


def _tallied(rows: list[int]) -> tuple[Ints, Ints, Ints]:
    """Distinct rows in order, per placement the position of its row in them, and how often each occurs."""
    if len(rows) > _FEW:
        return np.unique(np.array(rows, dtype=np.int64), return_inverse=True, return_counts=True)
    tally: dict[int, int] = {}
    for row in rows:
        tally[row] = tally.get(row, 0) + 1
    distinct = sorted(tally)
    position = {row: i for i, row in enumerate(distinct)}
    return (
        np.array(distinct, dtype=np.int64),
        np.array([position[row] for row in rows], dtype=np.int64),
        np.array([tally[row] for row in distinct], dtype=np.int64),
    )


def _place_with_ports(
    placer: Placer, group: TaskGroup, rows: list[int], ranker: Ranker, units: tuple[str, ...] = ()
) -> list[tuple[AllocatedPort, ...]]:
    """Ports for each row. The ranker counted them, so that they are there."""
    chosen = []
    for row in rows:
        ports = choose_ports(placer.working, row, ranker.ports, placer.ids)
        if ports is None:
            raise _nothing_free("ports", group, row, placer)
        numbers = (port.value for port in ports)
        placer.working.place(row, group.name, ranker.ask_at(row), numbers, units)
        chosen.append(ports)
    return chosen


def _nothing_free(what: str, group: TaskGroup, row: int, placer: Placer) -> InvariantBroken:
    return InvariantBroken(
        f"the ranker offered a node without free {what}", group=group.name, node_id=placer.fleet.ids[row]
    )


def _columns(
    ports: list[tuple[AllocatedPort, ...]], nodes: list[int], placer: Placer, ranker: Ranker
) -> tuple[PortColumn, ...]:
    if not ports:
        return ()
    asked = (*ranker.ports.static, *ranker.ports.dynamic)
    by_network = {
        name: _addresses(placer, nodes, port)
        for name, port in {port.host_network: port for port in asked}.items()
    }
    return tuple(
        PortColumn(
            label=port.label,
            to=port.to,
            values=np.array([held[i].value for held in ports], dtype="<u2").tobytes(),
            host_ips=by_network[port.host_network],
            static=i < len(ranker.ports.static),
            ignore_collision=port.ignore_collision,
        )
        for i, port in enumerate(asked)
    )


def _addresses(placer: Placer, nodes: list[int], port: Port) -> tuple[str, ...]:
    """Address of the port on each node; one where they are all alike."""
    addresses = tuple(address_of(placer.fleet, row, port) for row in nodes)
    return addresses[:1] if len(set(addresses)) == 1 else addresses


def row_of(
    placer: Placer,
    group: TaskGroup,
    request: Replace,
    row: int,
    ports: tuple[AllocatedPort, ...],
    given: Given,
    metric: AllocMetric,
) -> Allocation:
    """One allocation with a predecessor."""
    job, previous = placer.job, request.previous
    resources = with_units(group_resources(group, placer.input.config), given)
    tracker = previous.reschedule_tracker
    if request.reschedule and group.reschedule_policy is not None:
        tracker = reschedule.tracker_of_replacement(previous, group.reschedule_policy, placer.input.now_ns)
    elif request.tied:
        # an update makes a new start.
        tracker = None
    return Allocation(
        id=placer.ids.uuid(),
        name=f"{job.id}.{group.name}[{request.index}]",
        namespace=job.namespace,
        job_id=job.id,
        job_version=job.version,
        job_spec_index=job.job_modify_index,
        task_group=group.name,
        node_id=placer.fleet.ids[row],
        node_name=placer.fleet.names[row],
        eval_id=placer.input.evaluation.id,
        deployment_id=placer.deployment_id,
        deployment_status=AllocHealth(canary=True) if request.canary else None,
        allocated_resources=msgspec.structs.replace(
            resources, shared=AllocatedShared(disk_mb=resources.shared.disk_mb, ports=ports)
        ),
        reschedule_tracker=tracker,
        previous_allocation=previous.id,
        metrics=metric,
        create_time_ns=placer.input.now_ns,
        modify_time_ns=placer.input.now_ns,
    )
