"""check_plan: what of a plan still fits, against the tentative fleet. Pure.

Theory: workers plan on views of different age, so that two may want the same room. Here, one plan after the other,
every touched node is checked again: it is there, takes new work, is the node that was planned for (epoch), and has
room beside what is committed and in flight, less what this plan itself stops there. What fits is let through, the
rest is named with a reason. A dynamic port that somebody took meanwhile is replaced here; a static one is refused.
Stops need no node's consent; a stop that is tied to a refused placement falls with it.

Not here: jobs (apply drops placements of a job that changed), committing, the worker's next attempt.

Source: spec/scheduler.md 3.3; architecture.md "Evaluation and plans".
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np

from daemon.evaluation.plan_room import FULL, AllocOf, Room
from daemon.model.alloc import Allocation, AllocBlock, PortColumn
from daemon.model.plan import Plan, PlanResult
from daemon.state.columns import Ints, Mask
from daemon.state.deltas import READY, STATE_WORDS, amounts
from daemon.state.reservations import block_positions, block_rows
from daemon.state.tracker import FleetTracker
from daemon.state.usage import usage_of

#: nodes that nothing can be told now.
_AWAY = ("down", "disconnected")


class Checked(NamedTuple):
    """The part of a plan that may be committed now, and what was refused."""

    plan: Plan
    result: PlanResult


def check_plan(tracker: FleetTracker, plan: Plan, alloc_of: AllocOf) -> Checked:
    """Check a plan against the tentative fleet. `alloc_of` reads the state, for what the plan's stops free.

    Changes nothing itself: `tracker.reserve` counts what was accepted.
    """
    checker = _Checker(tracker, plan, alloc_of)
    allocs = [alloc for alloc in map(checker.alloc, plan.allocs) if alloc is not None]
    blocks = [block for block in map(checker.block, plan.blocks) if block is not None]
    in_place = tuple(update for update in plan.in_place if checker.exists(update.node_id))
    rejected = checker.rejected
    if rejected and plan.all_at_once:
        nothing = msgspec.structs.replace(
            plan,
            blocks=(),
            allocs=(),
            stops=(),
            in_place=(),
            marks=(),
            deployment=None,
            deployment_changes=(),
        )
        return Checked(nothing, PlanResult(full=False, rejected=rejected, refresh_index=tracker.index))
    placed = {alloc.id for alloc in allocs}
    accepted = plan
    if rejected or checker.moved_ports:
        accepted = msgspec.structs.replace(
            plan,
            blocks=tuple(blocks),
            allocs=tuple(allocs),
            in_place=in_place,
            stops=tuple(stop for stop in plan.stops if not stop.replaced_by or stop.replaced_by in placed),
        )
    refresh = tracker.index if rejected else 0
    return Checked(accepted, PlanResult(full=not rejected, rejected=rejected, refresh_index=refresh))


class _Checker:
    def __init__(self, tracker: FleetTracker, plan: Plan, alloc_of: AllocOf) -> None:
        self.fleet = tracker.fleet
        self.room = Room(self.fleet, plan, alloc_of)
        self.epochs = plan.node_epochs
        self.rejected: dict[str, str] = {}
        self.moved_ports = False
        #: nobody asks for room after it.
        self.last = plan.blocks[-1] if plan.blocks else None

    def exists(self, node_id: str) -> bool:
        """In-place updates ask for nothing but a node that hears of them."""
        row = self.fleet.row_of.get(node_id, -1)
        if row < 0 or not self.fleet.alive[row]:
            self._reject(node_id, "is gone")
            return False
        word = STATE_WORDS[self.fleet.state[row]]
        if word in _AWAY:
            self._reject(node_id, f"is {word}")
            return False
        return True

    def alloc(self, alloc: Allocation) -> Allocation | None:
        """The placement, perhaps with other ports; None when it is refused."""
        row = self.fleet.row_of.get(alloc.node_id, -1)
        epoch = self.epochs.get(alloc.node_id, 0)
        why = self._unfit(row, epoch)
        ports = why or self.room.place(alloc, row)
        if isinstance(ports, str):
            self._reject(alloc.node_id, ports)
            return None
        shared = alloc.allocated_resources.shared
        if ports == shared.ports:
            return alloc
        self.moved_ports = True
        resources = msgspec.structs.replace(
            alloc.allocated_resources, shared=msgspec.structs.replace(shared, ports=ports)
        )
        return msgspec.structs.replace(alloc, allocated_resources=resources)

    def block(self, block: AllocBlock) -> AllocBlock | None:
        """The rows of the block that fit, as a block; None when none does."""
        rows = block_rows(block, self.fleet.row_of)
        positions = block_positions(block)
        ask = amounts(usage_of(block.allocated_resources))
        wanted = np.bincount(positions, minlength=len(rows))
        allowed = self._allowed(block, rows, ask, wanted)
        keep: Mask = np.ones(block.count, dtype=np.bool_)
        if (allowed < wanted).any():
            keep = _ordinal(positions) < allowed[positions]
        values = self._ports(block, rows, positions, keep) if block.ports else None
        counts = wanted if keep.all() else np.bincount(positions[keep], minlength=len(rows))
        for i in np.flatnonzero(counts < wanted).tolist():
            self._reject(block.nodes[i], self._unfit(int(rows[i]), block.node_epochs[i]) or FULL)
        if block is not self.last:
            known = rows >= 0
            self.room.take_many(rows[known], ask, counts[known])
        if keep.all() and values is None:
            return block
        return _cut(block, keep, positions, values) if keep.any() else None

    def _allowed(self, block: AllocBlock, rows: Ints, ask: tuple[int, int, int, int], wanted: Ints) -> Ints:
        """How many of the block each node may take."""
        fleet = self.fleet
        safe = np.maximum(rows, 0)
        epochs = np.array(block.node_epochs, dtype=np.int64)
        good = (rows >= 0) & fleet.alive[safe] & (fleet.state[safe] == READY) & (fleet.epochs[safe] == epochs)
        room = self.room.room(safe, ask)
        allowed: Ints = np.where(good, np.minimum(wanted, room), 0)
        return allowed

    def _ports(self, block: AllocBlock, rows: Ints, positions: Ints, keep: Mask) -> list[Ints] | None:
        """Settle the ports of every kept row; rows without any are dropped from `keep`. None: as planned."""
        values = [np.frombuffer(column.values, dtype="<u2").astype(np.int64) for column in block.ports]
        moved = False
        for i in np.flatnonzero(keep).tolist():
            row = int(rows[positions[i]])
            planned = tuple(
                (column, int(numbers[i])) for column, numbers in zip(block.ports, values, strict=True)
            )
            numbers = self.room.settle_numbers(
                row, [(c.label, value, c.static, c.ignore_collision) for c, value in planned]
            )
            if isinstance(numbers, str):
                keep[i] = False
                self._reject(block.nodes[int(positions[i])], numbers)
                continue
            for column, number in zip(values, numbers, strict=True):
                moved |= bool(column[i] != number)
                column[i] = number
        self.moved_ports |= moved
        return values if moved else None

    def _unfit(self, row: int, epoch: int) -> str:
        """Why the node takes no new work of this plan; "" when it does."""
        fleet = self.fleet
        if row < 0 or not fleet.alive[row]:
            return "is gone"
        if fleet.state[row] != READY:
            return f"is {STATE_WORDS[int(fleet.state[row])]} and takes no new work"
        if int(fleet.epochs[row]) != epoch:
            return f"has changed since the plan was made (epoch {epoch}, now {int(fleet.epochs[row])})"
        return ""

    def _reject(self, node_id: str, why: str) -> None:
        self.rejected.setdefault(node_id, f"node {node_id} {why}")


def _ordinal(positions: Ints) -> Ints:
    """Per row of a block: how many rows before it name the same node."""
    order = np.argsort(positions, kind="stable")
    grouped = positions[order]
    starts = np.flatnonzero(np.r_[True, grouped[1:] != grouped[:-1]])
    lengths = np.diff(np.r_[starts, len(grouped)])
    ordinal = np.empty(len(positions), dtype=np.int64)
    ordinal[order] = np.arange(len(positions)) - np.repeat(starts, lengths)
    return ordinal


def _cut(block: AllocBlock, keep: Mask, positions: Ints, values: list[Ints] | None) -> AllocBlock:
    """The kept rows, with the ports given. Nodes without rows fall out."""
    used, fresh = np.unique(positions[keep], return_inverse=True)
    nodes = used.tolist()
    columns: list[PortColumn] = []
    for i, column in enumerate(block.ports):
        numbers = np.frombuffer(column.values, dtype="<u2") if values is None else values[i]
        addresses = column.host_ips
        if len(addresses) > 1:
            addresses = tuple(addresses[node] for node in nodes)
        columns.append(
            msgspec.structs.replace(column, values=numbers[keep].astype("<u2").tobytes(), host_ips=addresses)
        )
    ids = np.frombuffer(block.ids, dtype=np.uint8).reshape(block.count, 16)
    return msgspec.structs.replace(
        block,
        count=int(np.count_nonzero(keep)),
        ids=ids[keep].tobytes(),
        nodes=tuple(block.nodes[i] for i in nodes),
        node_names=tuple(block.node_names[i] for i in nodes),
        node_epochs=tuple(block.node_epochs[i] for i in nodes),
        node_rows=fresh.astype("<u4").tobytes(),
        indexes=np.frombuffer(block.indexes, dtype="<u4")[keep].tobytes(),
        ports=tuple(columns),
    )
