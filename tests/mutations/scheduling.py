"""Mistakes in the scheduler's rules: operators, versions, updates, rescheduling, names, ports, usage."""

from __future__ import annotations

from tests.mutations.mutate import Mutation

_FEASIBLE = ("tests/scheduler/test_feasible.py",)
_UPDATES = ("tests/scheduler/test_updates_and_names.py",)
_FAILURES = ("tests/scheduler/test_reconcile.py", "-k", "rf or rc16")

_OPERATORS = ("daemon/scheduler/operators.py", _FEASIBLE)
_VERSIONS = ("daemon/scheduler/versions.py", _FEASIBLE)
_CHECKS = ("daemon/scheduler/feasible.py", _FEASIBLE)
_ADDRESSES = ("daemon/scheduler/addresses.py", ("tests/scheduler/test_host_networks_of_ports.py",))
_VOLUMES = ("daemon/scheduler/volumes.py", _FEASIBLE)
_DISTINCT = ("daemon/scheduler/distinct.py", _FEASIBLE)
_PORTS = ("daemon/scheduler/ports.py", _FEASIBLE)
_USAGE = ("daemon/scheduler/usage.py", _FEASIBLE)
_UPDATE = ("daemon/scheduler/updates.py", _UPDATES)
_NAMES = ("daemon/scheduler/names.py", _UPDATES)
_RESCHEDULE = ("daemon/scheduler/reschedule.py", _FAILURES)
_UNITS = ("tests/scheduler/test_units.py", "tests/evaluation/test_units_contended.py")
_VALUES = ("daemon/scheduler/device_values.py", _UNITS)
_UNIT_ASK = ("daemon/scheduler/unit_ask.py", _UNITS)
_UNIT_VICTIMS = ("daemon/scheduler/unit_victims.py", _UNITS)
_UNIT_BOOK = ("daemon/state/units.py", _UNITS)
_PENALTY = ("daemon/scheduler/reschedule.py", ("tests/scheduler/test_ranking.py", "-k", "rk4"))

_TEXTS: list[tuple[tuple[str, tuple[str, ...]], str, str]] = [
    (_OPERATORS, 'if operand == "!=":\n        return', 'if operand == "!=" and left is not None:\n        return'),
    (_OPERATORS, "for read in (_integer, _number):", "for read in (_integer,):"),
    (_OPERATORS, "for read in (_integer, _number):", "for read in ():"),
    (_OPERATORS, "return bool(left <= right)", "return bool(left < right)"),
    (_OPERATORS, "item.strip() for item", "item for item"),
    (_OPERATORS, 'needs <= has if operand == "set_contains"', 'has <= needs if operand == "set_contains"'),
    (_OPERATORS, 'satisfies(left, right, operand == "semver")', "satisfies(left, right, False)"),
    (_VERSIONS, "if not self.strict and version.prerelease and not _same", "if False and not _same"),
    (_VERSIONS, 'fixed = bound.written - 1 if operator == "~>" else 0', "fixed = 0"),
    (_VERSIONS, "(0, int(part), \"\") if part.isdigit()", "(1, 0, part) if part.isdigit()"),
    (_VERSIONS, 'or (strict and match[1] == "~>")', ""),
    (_CHECKS, "healthy | ~detected, driver", "detected, driver"),
    (_CHECKS, "by_attribute = ~told & holding", "by_attribute = told & holding"),
    (_CHECKS, "fnmatchcase(word, glob)", "word == glob"),
    (_CHECKS, "    if job.node_pool == ALL_POOL:", "    if False:"),
    (_VOLUMES, "        if not request.read_only:\n", "        if False:\n"),
    (_ADDRESSES, "found |= named & _has(fleet, alias)", "found |= _has(fleet, alias)"),
    (_ADDRESSES, "else column.codes >= 0", "else fleet.alive"),
    (_ADDRESSES, "    if is_own(alias):\n        return fleet.h", "    if True:\n        return fleet.h"),
    (_DISTINCT, "constraint.r_target not in _OFF:", "True:"),
    (_DISTINCT, "self.counts(working) < self.allowed", "self.counts(working) <= self.allowed"),
    (_PORTS, "if value not in numbers and not working.port_taken", "if not working.port_taken"),
    (_PORTS, "if value not in numbers and not working.port_taken(row, value):", "if value not in numbers:"),
    (_PORTS, "value if port.to == -1 else port.to", "port.to"),
    (_USAGE, "cpu=max(cpu for cpu, _ in phases)", "cpu=sum(cpu for cpu, _ in phases)"),
    (_USAGE, 'or (hook[t.name] == "prestart" and t.name in sidecars)', ""),
    (_UPDATE, "        task.env,\n", ""),
    (_UPDATE, "        task.config,\n", ""),
    (_UPDATE, "        resources.memory_max_mb,\n", ""),
    (_UPDATE, "        task.log_config.disabled,\n", ""),
    (_UPDATE, "    ports = sorted(\n", "    ports = list(\n"),
    (_UPDATE, "return {**job.meta, **group.meta, **task.meta}", "return {**job.meta, **task.meta}"),
    (_UPDATE, "if old.ephemeral_disk != new.ephemeral_disk or", "if"),
    (_NAMES, "        if index in self._used:\n            return self.take(1)[0]\n", ""),
    (_NAMES, "            if self._next not in self._used:\n", "            if True:\n"),
    (_RESCHEDULE, "delay = 2 * last", "delay = last"),
    (_RESCHEDULE, "else last + before", "else last"),
    (_RESCHEDULE, "        delay = policy.max_delay_ns\n", "        pass\n"),
    (_RESCHEDULE, "            delay = base\n    return delay", "            pass\n    return delay"),
    (_RESCHEDULE, "if recent >= policy.attempts or", "if"),
    (_RESCHEDULE, "return failed_at + delay", "return failed_at"),
    (_RESCHEDULE, "kept = events[-_EVENTS_KEPT:]", "kept = events"),
    (_RESCHEDULE, "if batches and at - batches[-1][0] < BATCH_NS:", "if False:"),
    (_PENALTY, "(alloc.node_id, *(event.prev_node_id", '("", *(event.prev_node_id'),
    (_RESCHEDULE, "return ended or alloc.modify_time_ns", "return alloc.modify_time_ns"),
    (_VALUES, "and not (first is None and second is None)", ""),
    (_VALUES, "or one[0] != other[0]", ""),
    (_VALUES, "* factor", ""),
    (_UNIT_ASK, "if instance.healthy]", "]"),
    (_UNIT_ASK, "if not book.taken(row, core_unit(core))", ""),
    (_UNIT_ASK, "if not book.taken(row, device_unit(device.key, one))", ""),
    (_UNIT_ASK, "key=lambda device: (-liking(device, request), device.key)", "key=lambda device: device.key"),
    (_UNIT_ASK, "liked / ask.weight if", "liked if"),
    (_UNIT_ASK, "has[request.count :]}", "has}"),
    (_UNIT_VICTIMS, "sum({one.priority for one in victims})", "len(victims)"),
    (_UNIT_VICTIMS, "key=lambda each: (each.priority, each", "key=lambda each: (-each.priority, each"),
    (_UNIT_VICTIMS, "            victims.remove(one)\n", ""),
    (_UNIT_BOOK, "count = held.get(unit, 0) + sign", "count = max(0, sign)"),
    (_UNIT_BOOK, " + self.own.get(row, _NOBODY).get(unit, 0)", ""),
]  # fmt: skip

MUTATIONS = [Mutation(file, before, after, tests) for (file, tests), before, after in _TEXTS]
