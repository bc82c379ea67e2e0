"""Mistakes in the broker, the blocked evaluations, and the plan check."""

from __future__ import annotations

from tests.mutations.mutate import Mutation

_BROKER = ("daemon/evaluation/broker.py", ("tests/evaluation/test_broker_core.py",))
_BLOCKED = ("daemon/evaluation/blocked.py", ("tests/evaluation/test_blocked_core.py",))
_CHECK = ("daemon/evaluation/plan_check.py", ("tests/evaluation/test_plan_check.py",))
_ROOM = ("daemon/evaluation/plan_room.py", ("tests/evaluation/test_plan_check.py",))
_UNITS = ("tests/evaluation/test_units_contended.py",)
_ROOM_UNITS = ("daemon/evaluation/plan_room.py", _UNITS)
_TRACKER_UNITS = ("daemon/state/tracker.py", _UNITS)
_FLIGHT = ("daemon/evaluation/flight.py", ("tests/evaluation/test_attempts.py",))

_TEXTS: list[tuple[tuple[str, tuple[str, ...]], str, str]] = [
    (_BROKER, "(-evaluation.priority, evaluation.create_index", "(evaluation.priority, evaluation.create_index"),
    (_BROKER, "(-evaluation.priority, evaluation.create_index", "(-evaluation.priority, -evaluation.create_index"),
    (_BROKER, "holder = self._slots.setdefault(key, evaluation.id)", "holder = evaluation.id"),
    (_BROKER, "        entry.deliveries += 1\n", ""),
    (_BROKER, "self._arm(entry, now_ns + self.settings.nack_timeout_ns)\n        return entry", "return entry"),
    (_BROKER, "entry.deliveries >= self.settings.delivery_limit", "entry.deliveries > self.settings.delivery_limit"),
    (_BROKER, "now_ns + self.settings.first_nack_delay_ns", "now_ns"),
    (_BROKER, "(entry.deliveries - 1) * self.settings", "entry.deliveries * self.settings"),
    (_BROKER, "        if entry.again is not None:\n            self.enqueue(entry.again, now_ns)\n", ""),
    (_BROKER, '        entry.token = ""\n        entry.again = None\n', '        entry.token = ""\n'),
    (_BROKER, "if entry.token != token:", "if False:"),
    (_BROKER, "                self._cancelable.append(entry.evaluation)\n        self._make_ready(best)",
     "        self._make_ready(best)"),
    (_BROKER, "(e.evaluation.priority, e.evaluation.modify_index", "(e.evaluation.modify_index"),
    (_BROKER, "        entry.due_ns = 0\n        entry.stamp = 0\n\n    # -- time", "        pass\n\n    # -- time"),
    (_BROKER, "(fresh_only and self._entries[best[3]].deliveries)", "False"),
    (_BROKER, "if evaluation.wait_until_ns > now_ns:", "if False:"),
    (_BROKER, "if entry is None or entry.stamp != stamp:\n                continue\n            if entry.place",
     "if entry is None:\n                continue\n            if entry.place"),
    (_BLOCKED, "            if _age(evaluation) < _age(other):", "            if _age(evaluation) > _age(other):"),
    (_BLOCKED, "            self._forget(other)\n            self._cancelable.append(other)",
     "            self._forget(other)"),
    (_BLOCKED, "        if self._missed(evaluation):\n            return [evaluation]\n", ""),
    (_BLOCKED, "    if evaluation.escaped_computed_class:\n        return True\n    return", "    return"),
    (_BLOCKED, "class_eligibility.get(computed_class, True)", "class_eligibility.get(computed_class, False)"),
    (_BLOCKED, "if e.triggered_by == Trigger.MAX_PLAN_ATTEMPTS])", "])"),
    (_BLOCKED, "    if evaluation.node_id:\n        return False\n", ""),
    (_BLOCKED, "index > evaluation.snapshot_index and _hears", "_hears"),
    (_CHECK, "if rejected and plan.all_at_once:", "if False:"),
    (_CHECK, "if not stop.replaced_by or stop.replaced_by in placed", "if True"),
    (_CHECK, "        if int(fleet.epochs[row]) != epoch:", "        if False:"),
    (_CHECK, "(fleet.state[safe] == READY) & ", ""),
    (_CHECK, "        if fleet.state[row] != READY:", "        if False:"),
    (_CHECK, "np.where(good, np.minimum(wanted, room), 0)", "np.where(good, wanted, 0)"),
    (_CHECK, "refresh = tracker.index if rejected else 0", "refresh = 0"),
    (_ROOM, "            elif stop.replaced_by:\n", "            elif False:\n"),
    (_ROOM, "            self.take(row, usage, 1)\n            self._units.take", "            self._units.take"),
    (_ROOM, "        free -= fleet.total.take(rows, axis=1)\n", ""),
    (_ROOM, "            if alloc is None or alloc.client_terminal:", "            if alloc is None:"),
    (_ROOM, "if not shared and (planned in mine or self._port_taken(row, planned)):", "if False:"),
    (_ROOM, "                if static:\n", "                if False:\n"),
    (_ROOM_UNITS, "if self._units.taken(row, unit)]", "if False]"),
    (_ROOM_UNITS, "            self._units.free(row, kept_units)\n", ""),
    (_ROOM_UNITS, "        if row_of_tied == row:\n            self._units.take(row, kept_units)\n", ""),
    (_ROOM_UNITS, "            self._units.take(row, units)\n            if row_of_tied", "            if row_of_tied"),
    (_TRACKER_UNITS, "            count_units(self.fleet.units.held, row, units, sign)\n", ""),
    (_TRACKER_UNITS, "            self._unit_stamp[row] = self.sequence\n        for port", "        for port"),
    (_FLIGHT, "flight.fruitless = 0 if progress else flight.fruitless + 1", "flight.fruitless += 1"),
    (_FLIGHT, 'ATTEMPTS_MAX = {"service": 5, "batch": 2', 'ATTEMPTS_MAX = {"service": 5, "batch": 5'),
]  # fmt: skip

MUTATIONS = [Mutation(file, before, after, tests) for (file, tests), before, after in _TEXTS]
