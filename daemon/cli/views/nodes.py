"""Nodes: the list, and one node with drivers, resources and events. Pure.

Source: spec/nomad-surface.md E, row 9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import tzinfo

from daemon.cli.drain_watch import deadline_words
from daemon.cli.text import Cell, clean, iso, pairs, short, size, span, status, table
from daemon.model.node import DrainMetadata, Node, NodeQuarantine
from daemon.rpc.messages import HostStatsResponse, NodeResponse, NodeStub


def node_list(stubs: Sequence[NodeStub], *, verbose: bool = False, color: bool = False) -> list[str]:
    """The table of nodes."""
    if not stubs:
        return ["No nodes registered"]
    header = ["ID", "Node Pool", "DC", "Name", "Class", "Drain", "Eligibility", "Status"]
    rows: list[list[Cell]] = [
        [
            short(stub.id, verbose),
            stub.node_pool,
            stub.datacenter,
            stub.name,
            stub.node_class,
            str(stub.drain).lower(),
            status("quarantined" if stub.quarantine else stub.scheduling_eligibility),
            status(stub.status),
        ]
        for stub in stubs
    ]
    if verbose:
        header[5:5] = ["Address", "Version"]
        for row, stub in zip(rows, stubs, strict=True):
            row[5:5] = [stub.address, stub.version]
    return table(header, rows, color=color)


def node_pairs(node: Node, *, time_ns: int = 0, color: bool = False, zone: tzinfo | None = None) -> list[str]:
    """The facts of a node; `time_ns` is now."""
    drivers = ",".join(sorted(name for name, info in node.drivers.items() if info.healthy))
    items: list[tuple[str, Cell]] = [
        ("ID", node.id),
        ("Name", node.name),
        ("Node Pool", node.node_pool),
        ("Class", node.node_class),
        ("DC", node.datacenter),
        ("Drain", str(node.drain_strategy is not None).lower()),
        ("Eligibility", status(node.scheduling_eligibility)),
        ("Status", status(node.status)),
    ]
    if node.status_description:
        items.append(("Status Description", node.status_description))
    mark = node.quarantine
    if mark is not None:
        items.append(("Quarantine", clean(_quarantine(mark, zone))))
    if node.drain_strategy is not None:
        items.append(("Drain Deadline", deadline_words(node.drain_strategy, time_ns)))
    if node.last_drain is not None:
        items.append(("Last Drain", _last_drain(node.last_drain, zone)))
    networks = node.node_resources.host_networks
    if networks:
        items.append(
            ("Host Networks", ",".join(f"{name}={networks[name].addresses[0]}" for name in sorted(networks)))
        )
    items += [("Host Volumes", ",".join(sorted(node.host_volumes))), ("Healthy Drivers", drivers)]
    return pairs(items, color=color)


def _quarantine(mark: NodeQuarantine, zone: tzinfo | None) -> str:
    """With effect or not, since when and why."""
    word = f"no ({mark.held_back}), but due since" if mark.held_back else "since"
    return f"{word} {iso(mark.since_ns, zone)}: {mark.reason}"


def _last_drain(last: DrainMetadata, zone: tzinfo | None) -> str:
    text = f"{last.status}, from {iso(last.started_at_ns, zone)}"
    if last.status != "draining":
        text += f" to {iso(last.updated_at_ns, zone)}"
    notes = ", ".join(f"{key}={value}" for key, value in sorted(last.meta.items()))
    return clean(f"{text} ({notes})" if notes else text)


def drivers(node: Node, *, color: bool = False) -> list[str]:
    """Every driver, and why it is not there."""
    rows: list[list[Cell]] = [
        [
            name,
            str(info.detected).lower(),
            status("healthy") if info.healthy else "false" if not info.detected else status("unhealthy"),
            info.health_description,
        ]
        for name, info in sorted(node.drivers.items())
    ]
    return table(("Driver", "Detected", "Healthy", "Message"), rows, color=color) if rows else []


def node_events(node: Node, *, color: bool = False, zone: tzinfo | None = None) -> list[str]:
    """What an operator wants to know, newest first."""
    rows: list[list[Cell]] = [
        [iso(event.timestamp_ns, zone), event.subsystem, event.message]
        for event in sorted(node.events, key=lambda event: -event.timestamp_ns)
    ]
    return table(("Time", "Subsystem", "Message"), rows, color=color) if rows else []


def allocated(answer: NodeResponse, *, color: bool = False) -> list[str]:
    """What allocations hold, of what there is for them."""
    total, kept = answer.node.node_resources, answer.node.reserved
    row: list[Cell] = [
        f"{answer.allocated_cpu}/{total.cpu_shares - kept.cpu_shares} MHz",
        f"{answer.allocated_memory_mb}/{total.memory_mb - kept.memory_mb} MiB",
        f"{answer.allocated_disk_mb}/{total.disk_mb - kept.disk_mb} MiB",
        str(answer.allocations),
    ]
    return table(("CPU", "Memory", "Disk", "Alloc Count"), [row], color=color)


def host_usage(stats: HostStatsResponse, *, color: bool = False) -> list[str]:
    """Use of the machine now."""
    row: list[Cell] = [
        f"{stats.cpu_percent:.1f}%",
        f"{size(stats.memory_used_bytes)}/{size(stats.memory_total_bytes)}",
        f"{size(stats.disk_used_bytes)}/{size(stats.disk_total_bytes)}",
        span(stats.uptime_s),
    ]
    return table(("CPU", "Memory", "Disk", "Uptime"), [row], color=color)


def facts(items: Mapping[str, str], *, color: bool = False) -> list[str]:
    """Attributes or meta, sorted."""
    return pairs(sorted(items.items()), color=color)
