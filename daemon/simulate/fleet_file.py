"""A fleet file: kinds of machines, how many of each, and how they are spread over racks and datacenters. Pure.

Theory: HCL or JSON, read with the same reader as job files, so that everything wrong is reported at once with its
line and column. What a machine of the cluster would fingerprint by itself (system, architecture, drivers' attributes)
is filled in, so that the usual constraints hold.

Source: docs/manual/simulate.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from daemon.jobspec.body import Block
from daemon.jobspec.diagnostics import Diagnostic, nearest, ordered
from daemon.jobspec.read import decode_text, read_plain
from daemon.jobspec.schema.reader import Fields, Reader
from daemon.jobspec.schema.tables import BlockDef, Child, Key
from daemon.jobspec.source import Source
from daemon.jobspec.support import Support
from daemon.model.enums import NodeStatus
from daemon.model.node import DriverInfo, HostVolume, Node, NodeNetwork, NodeReserved, NodeResources
from daemon.simulate.kinds import FIELDS, Across, Kind

#: more machines than any server looks after.
MACHINES_MAX = 100_000
DEFAULT_DISK_MB = 100_000
DEFAULT_DRIVERS = ("docker", "exec", "raw_exec")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_MHZ_PER_CORE = 2500


def _keys(**kinds: str) -> tuple[Key, ...]:
    return tuple(Key(name, kind) for name, kind in kinds.items())


RESERVED = BlockDef("reserved", _keys(cpu="int", memory="int", disk="int"))
HOST_VOLUME = BlockDef("host_volume", _keys(read_only="bool"))
ACROSS = BlockDef("across", _keys(values="strings"))
MACHINE = BlockDef(
    "machine",
    _keys(
        count="int",
        cpu="int",
        memory="int",
        disk="int",
        datacenter="string",
        node_class="string",
        node_pool="string",
        drivers="strings",
        network_modes="strings",
        max_allocs="int",
        min_dynamic_port="int",
        max_dynamic_port="int",
    ),
    (
        Child("meta", None),
        Child("attributes", None),
        Child("reserved", RESERVED),
        Child("host_volume", HOST_VOLUME, many=True, labels=1),
        Child("across", ACROSS, many=True, labels=1),
    ),
)
FLEET = BlockDef("fleet", (), (Child("machine", MACHINE, many=True, labels=1),))
_SUPPORT = Support(
    unsupported={}, values={}, ignored={}, refused={}, message="{what} is not supported in a fleet file"
)


@dataclass(frozen=True)
class FleetFile:
    """What a file says; empty `kinds` when it has errors."""

    kinds: tuple[Kind, ...]
    diagnostics: tuple[Diagnostic, ...]


def read_fleet(data: bytes, name: str) -> FleetFile:
    """Read a fleet file."""
    source, found = decode_text(data, name)
    if found:
        return FleetFile((), tuple(found))
    document = read_plain(source)
    if document.body is None:
        return FleetFile((), ordered(document.found))
    reader = Reader(support=_SUPPORT)
    fields = reader.block(FLEET, Block("fleet", source.whole(), [], document.body), ())
    kinds = _kinds(fields, reader, source)
    found = [*document.found, *reader.found]
    failed = any(each.is_error for each in found)
    return FleetFile(() if failed else tuple(kinds), ordered(found))


def _kinds(fields: Fields, reader: Reader, source: Source) -> list[Kind]:
    kinds: list[Kind] = []
    seen: set[str] = set()
    for machine in fields.blocks["machine"]:
        name, place = machine.labels[0]
        if not _NAME.fullmatch(name):
            reader.report(
                f'"{name}" cannot be the name of a machine', place, "use letters, digits, - _ and ."
            )
        if name in seen:
            reader.report(f'machine "{name}" is there twice', place, "give one of them another name")
        seen.add(name)
        kinds.append(_kind(machine, reader))
    if not kinds and not reader.found:
        reader.report("the fleet has no machines", source.whole(), 'write machine "name" { ... }')
    total = sum(kind.count for kind in kinds)
    if total > MACHINES_MAX:
        reader.report(f"the fleet has {total} machines, more than {MACHINES_MAX}", source.whole())
    return kinds


def _kind(fields: Fields, reader: Reader) -> Kind:
    name = fields.label
    count = _number(fields, reader, "count", 1, least=0)
    cpu = _number(fields, reader, "cpu", None)
    memory = _number(fields, reader, "memory", None)
    drivers = tuple(fields.values.get("drivers", DEFAULT_DRIVERS))
    modes = tuple(fields.values.get("network_modes", ("host", "bridge")))
    attributes = {
        "kernel.name": "linux",
        "os.name": "linux",
        "cpu.arch": "amd64",
        "cpu.numcores": str(max(1, cpu // _MHZ_PER_CORE)),
        "cpu.totalcompute": str(cpu),
        "memory.totalbytes": str(memory << 20),
        **{f"driver.{driver}": "1" for driver in drivers},
        **reader.text_map(fields, "attributes"),
    }
    low = _number(fields, reader, "min_dynamic_port", 20_000)
    high = _number(fields, reader, "max_dynamic_port", 32_000)
    if not low <= high <= 65_535:
        place = reader.places.get((*fields.path, "max_dynamic_port"), fields.range)
        reader.report(f"the range of dynamic ports is {low} to {high}", place, "it must rise, up to 65535")
    return Kind(
        name=name,
        count=count,
        across=tuple(_across(each, reader) for each in fields.blocks["across"]),
        template=Node(
            id="",
            name=name,
            status=NodeStatus.READY,
            attributes=attributes,
            meta=reader.text_map(fields, "meta"),
            drivers={driver: DriverInfo(detected=True, healthy=True) for driver in drivers},
            host_volumes=_volumes(fields),
            node_resources=NodeResources(
                cpu_shares=cpu,
                total_cores=max(1, cpu // _MHZ_PER_CORE),
                memory_mb=memory,
                disk_mb=_number(fields, reader, "disk", DEFAULT_DISK_MB),
                networks=tuple(NodeNetwork(device="eth0", ip="192.0.2.1", mode=mode) for mode in modes),
                min_dynamic_port=low,
                max_dynamic_port=high,
            ),
            reserved=_reserved(fields, reader),
            node_max_allocs=_number(fields, reader, "max_allocs", 0, least=0),
            **fields.pick(*FIELDS),
        ),
    )


def _number(fields: Fields, reader: Reader, key: str, default: int | None, *, least: int = 1) -> int:
    """A whole number; `default` None: it must be there."""
    value = fields.values.get(key, default)
    if value is None:
        if (*fields.path, key) not in reader.broken:
            reader.report(f'machine "{fields.label}" lacks "{key}"', fields.range, f"write {key} = NUMBER")
        return least
    if value < least:
        place = reader.places.get((*fields.path, key), fields.range)
        reader.report(f'"{key}" is {value}', place, f"it must be at least {least}")
        return least
    return int(value)


def _reserved(fields: Fields, reader: Reader) -> NodeReserved:
    kept = fields.one("reserved")
    if kept is None:
        return NodeReserved()
    return NodeReserved(
        cpu_shares=_number(kept, reader, "cpu", 0, least=0),
        memory_mb=_number(kept, reader, "memory", 0, least=0),
        disk_mb=_number(kept, reader, "disk", 0, least=0),
    )


def _volumes(fields: Fields) -> dict[str, HostVolume]:
    return {
        volume.label: HostVolume(
            name=volume.label, path="/", read_only=bool(volume.values.get("read_only", False))
        )
        for volume in fields.blocks["host_volume"]
    }


def _across(fields: Fields, reader: Reader) -> Across:
    target, place = fields.labels[0]
    space, _, key = target.partition(".")
    if target not in FIELDS and not (space in ("meta", "attr") and key):
        advice = nearest(target, FIELDS) or f"use {', '.join(FIELDS)}, meta.KEY or attr.KEY"
        reader.report(f'values cannot be dealt across "{target}"', place, advice)
    values = tuple(fields.values.get("values", ()))
    if not values and (*fields.path, "values") not in reader.broken:
        reader.report(f'across "{target}" has no values', fields.range, 'write values = ["a", "b"]')
    return Across(target, values or ("",))
