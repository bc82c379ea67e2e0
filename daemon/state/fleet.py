"""Fleet: the cluster as columns, one row a node. Pure.

Theory: everything that the scheduler filters and scores by is an array over rows, so that one pass over all
nodes is a handful of vector operations. Two usages per resource are kept: `wanted`, and `stopping` for what the
servers want gone but the node still runs; new work must fit beside both. `own` is usage that the owner of this
fleet reserved by itself (a worker: its plans on their way; the server: plans in flight) and that the figures it
is fed do not contain yet. Row numbers come from the server's tracker and are the same everywhere; they decide
nothing but the order of ties.

Not here: who keeps it up to date (tracker.py on the server, deltas.py for the rest); feasibility (scheduler/).

Source: architecture.md "Fleet"; spec/scheduler.md 1.4, 4.5, 4.6.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from daemon.model.plan import Plan
from daemon.state.columns import Column, Ints, Mask, grown
from daemon.state.deltas import READY, FleetDelta, GapError, NodeFacts
from daemon.state.reservations import Reservation, reservation_of
from daemon.state.units import Units, count_units

RESOURCES = ("cpu", "memory", "disk", "allocations")
_NO_PORTS: frozenset[int] = frozenset()
_NO_HOLDERS: dict[int, int] = {}


class Fleet:
    """Columns over nodes. Changed by `apply`, `reserve`, `settle`; the tracker uses the setters below them."""

    def __init__(self, length: int = 64, *, order: int = 0) -> None:
        #: seed of the order in which this fleet's owner takes equal nodes; different for each worker.
        self.order = order
        #: (which, of how many) parts of the nodes this owner prefers; of one: no preference.
        self.share = (0, 1)
        self.epoch = 0
        self.sequence = 0
        self.index = 0
        self._clear(length)

    def _clear(self, length: int) -> None:
        self.length = length
        #: rows given out, with or without a node.
        self.rows = 0
        self.ids: list[str] = []
        self.names: list[str] = []
        self.host_ips: list[str] = []
        self.row_of: dict[str, int] = {}
        self.alive: Mask = np.zeros(length, dtype=np.bool_)
        self.state: NDArray[np.int8] = np.zeros(length, dtype=np.int8)
        self.epochs: Ints = np.zeros(length, dtype=np.int64)
        self.port_min: Ints = np.zeros(length, dtype=np.int64)
        self.port_max: Ints = np.full(length, -1, dtype=np.int64)
        self.free_dynamic: Ints = np.zeros(length, dtype=np.int64)
        self.capacity: Ints = np.zeros((4, length), dtype=np.int64)
        self.wanted: Ints = np.zeros((4, length), dtype=np.int64)
        self.stopping: Ints = np.zeros((4, length), dtype=np.int64)
        self.own: Ints = np.zeros((4, length), dtype=np.int64)
        #: the sum of the three, kept beside them because every evaluation starts from it.
        self.total: Ints = np.zeros((4, length), dtype=np.int64)
        #: moves with every change of `total`; per row the version of its last change.
        self.usage_version = 0
        self.usage_stamp: Ints = np.zeros(length, dtype=np.int64)
        self.datacenter, self.pool = Column(length), Column(length)
        self.node_class, self.computed_class = Column(length), Column(length)
        self.node_id, self.node_name = Column(length), Column(length)
        #: "attr.KEY", "meta.KEY", "driver.NAME", "volume.NAME", "mode.NAME", "network.NAME" -> values.
        self.columns: dict[str, Column] = {}
        self.ports: dict[int, set[int]] = {}
        self.reserved_ports: dict[int, frozenset[int]] = {}
        self.units = Units()
        #: row -> port -> how many reservations hold it.
        self.own_ports: dict[int, dict[int, int]] = {}
        #: moves with everything but usage; what is derived from the columns may be cached under it.
        self.shape_version = 0
        #: room for users of the columns to keep what they derived (the scheduler's masks).
        self.cache: dict[Any, Any] = {}
        self._keys: list[tuple[str, ...]] = []
        self._reservations: dict[str, Reservation] = {}

    # -- following another fleet -------------------------------------------------------------------

    def apply(self, delta: FleetDelta) -> None:
        """Bring this fleet to `delta.sequence`.

        Raises: GapError when it does not follow; ask for a full delta then.
        """
        if delta.full:
            self._clear(max(64, delta.rows))
            self.epoch = delta.epoch
        elif delta.epoch != self.epoch or delta.since > self.sequence:
            raise GapError(
                f"fleet stands at epoch {self.epoch} sequence {self.sequence}, the delta builds on epoch"
                f" {delta.epoch} sequence {delta.since}; a full delta is needed"
            )
        self.settle(delta.settled)
        if not delta.full and delta.sequence < self.sequence:
            return
        while self.rows < delta.rows:
            self.add_row()
        for facts in delta.nodes:
            self.set_node(facts)
        for row in delta.gone:
            self.remove_node(row)
        rows = np.frombuffer(delta.usage_rows, dtype="<u4").astype(np.int64)
        usage = np.frombuffer(delta.usage, dtype="<i8").reshape(8, len(rows))
        self.wanted[:, rows] = usage[:4]
        self.stopping[:, rows] = usage[4:]
        self.total[:, rows] = usage[:4] + usage[4:] + self.own[:, rows]
        self.usage_moved(rows)
        for row, packed in delta.ports.items():
            self.set_ports(row, set(np.frombuffer(packed, dtype="<u2").tolist()))
        for row, units in delta.units.items():
            self.units.set_held(row, units)
        self.sequence, self.index = delta.sequence, delta.index

    def reserve(self, plan: Plan) -> None:
        """Count the plan's placements until `settle` names its evaluation."""
        self.settle((plan.eval_id,))
        self.hold(plan.eval_id, reservation_of(plan, self.row_of))

    def settle(self, eval_ids: tuple[str, ...]) -> None:
        """Forget reservations: the figures contain them now, or they came to nothing."""
        for eval_id in eval_ids:
            self.unhold(eval_id)

    def hold(self, key: str, held: Reservation) -> None:
        """Add a reservation to `own`."""
        self._reservations[key] = held
        if len(held.rows):
            self.own[:, held.rows] += held.amounts
            self.total[:, held.rows] += held.amounts
            self.usage_moved(held.rows)
        for row, port in held.ports:
            was = self.port_taken(row, port)
            holders = self.own_ports.setdefault(row, {})
            holders[port] = holders.get(port, 0) + 1
            self.note_port(row, port, was)
        for row, units in held.units:
            count_units(self.units.own, row, units, 1)

    def unhold(self, key: str) -> Reservation | None:
        """Take a reservation out of `own`; None when there is none under that key."""
        held = self._reservations.pop(key, None)
        if held is None:
            return None
        if len(held.rows):
            self.own[:, held.rows] -= held.amounts
            self.total[:, held.rows] -= held.amounts
            self.usage_moved(held.rows)
        for row, port in held.ports:
            holders = self.own_ports[row]
            holders[port] -= 1
            if not holders[port]:
                del holders[port]
                if not holders:
                    del self.own_ports[row]
                self.note_port(row, port, True)
        for row, units in held.units:
            count_units(self.units.own, row, units, -1)
        return held

    # -- reading -----------------------------------------------------------------------------------

    def used(self) -> Ints:
        """Wanted, stopping and reserved together, a (4, length) array of the caller's own.

        Cost: one that was given back is filled again; a fresh one of this size is new memory each time.
        """
        kept: Ints | None = self.cache.pop("used", None)
        if kept is None or kept.shape != self.total.shape:
            return self.total.copy()
        np.copyto(kept, self.total)
        return kept

    def give_back(self, used: Ints) -> None:
        """Whoever got `used` needs it no more."""
        self.cache["used"] = used

    @property
    def ready(self) -> Mask:
        """Rows that take new work."""
        ready: Mask = self.alive & (self.state == READY)
        return ready

    def column(self, key: str) -> Column | None:
        """Column of a key like `attr.kernel.name`; None when no node ever had it."""
        return self.columns.get(key)

    def port_taken(self, row: int, port: int) -> bool:
        """True when the node keeps the port back or an allocation holds it."""
        return (
            port in self.ports.get(row, _NO_PORTS)
            or port in self.own_ports.get(row, _NO_HOLDERS)
            or port in self.reserved_ports.get(row, _NO_PORTS)
        )

    # -- setters, for the tracker ------------------------------------------------------------------

    def add_row(self) -> int:
        """A new row without a node."""
        row = self.rows
        if row >= self.length:
            self._grow(max(64, self.length + self.length // 4 + 1))
        self.rows += 1
        self.ids.append("")
        self.names.append("")
        self.host_ips.append("")
        self._keys.append(())
        return row

    def set_node(self, facts: NodeFacts) -> None:
        """Write everything that a node's record says."""
        row = facts.row
        self.ids[row], self.names[row], self.host_ips[row] = facts.id, facts.name, facts.host_ip
        self.row_of[facts.id] = row
        self.alive[row] = True
        self.state[row] = facts.state
        self.epochs[row] = facts.epoch
        self.capacity[:, row] = facts.capacity
        self.port_min[row], self.port_max[row] = facts.port_min, facts.port_max
        self.datacenter.set(row, facts.datacenter)
        self.pool.set(row, facts.pool)
        self.node_class.set(row, facts.node_class)
        self.computed_class.set(row, facts.computed_class)
        self.node_id.set(row, facts.id)
        self.node_name.set(row, facts.name)
        values: dict[str, str] = {f"attr.{key}": value for key, value in facts.attributes.items()}
        values.update((f"meta.{key}", value) for key, value in facts.meta.items())
        values.update((f"driver.{key}", str(value)) for key, value in facts.drivers.items())
        values.update((f"volume.{key}", str(value)) for key, value in facts.volumes.items())
        values.update((f"mode.{mode}", "1") for mode in facts.modes)
        values.update((f"network.{key}", address) for key, address in facts.networks.items())
        self._set_values(row, values)
        if facts.reserved_ports:
            self.reserved_ports[row] = frozenset(facts.reserved_ports)
        else:
            self.reserved_ports.pop(row, None)
        self.count_free_ports(row)
        self.units.set_node(row, facts.cores, facts.core_mhz, facts.devices)
        self.shape_version += 1

    def remove_node(self, row: int) -> None:
        """The node left the state; its row stays, for allocations that still name it."""
        self.alive[row] = False
        self._set_values(row, {})
        self.units.forget(row)
        self.computed_class.set(row, None)
        self.shape_version += 1

    def usage_moved(self, rows: Ints | int) -> None:
        """Note that `total` changed there; whoever writes it says so."""
        self.usage_version += 1
        self.usage_stamp[rows] = self.usage_version

    def set_ports(self, row: int, ports: set[int]) -> None:
        """Write the ports that allocations hold."""
        if ports:
            self.ports[row] = ports
        else:
            self.ports.pop(row, None)
        self.count_free_ports(row)

    def note_port(self, row: int, port: int, was_taken: bool) -> None:
        """Adjust `free_dynamic` after one port may have changed hands."""
        taken = self.port_taken(row, port)
        if taken != was_taken and self.port_min[row] <= port <= self.port_max[row]:
            self.free_dynamic[row] += 1 if was_taken else -1

    def count_free_ports(self, row: int) -> None:
        """Recount `free_dynamic` of a row."""
        low, high = int(self.port_min[row]), int(self.port_max[row])
        taken = {
            port
            for held in (self.ports.get(row), self.own_ports.get(row), self.reserved_ports.get(row))
            if held
            for port in held
            if low <= port <= high
        }
        self.free_dynamic[row] = high - low + 1 - len(taken)

    def _set_values(self, row: int, values: dict[str, str]) -> None:
        for key in self._keys[row]:
            if key not in values:
                self.columns[key].set(row, None)
        for key, value in values.items():
            column = self.columns.get(key)
            if column is None:
                column = self.columns[key] = Column(self.length)
            column.set(row, value)
        self._keys[row] = tuple(values)

    def _grow(self, length: int) -> None:
        for name in ("alive", "state", "epochs", "port_min", "free_dynamic", "usage_stamp"):
            setattr(self, name, grown(getattr(self, name), length, 0))
        self.port_max = grown(self.port_max, length, -1)
        for name in ("capacity", "wanted", "stopping", "own", "total"):
            setattr(self, name, grown(getattr(self, name), length, 0))
        for column in (self.datacenter, self.pool, self.node_class, self.computed_class):
            column.grow(length)
        for column in (self.node_id, self.node_name, *self.columns.values()):
            column.grow(length)
        self.length = length
        self.shape_version += 1
