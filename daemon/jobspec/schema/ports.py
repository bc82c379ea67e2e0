"""Networks and ports, and the classic shape: ports in a task's resources move to the group. Pure.

Theory: a label that only one task uses keeps its name in the group; one that two tasks use, or that the
group has already, becomes TASK_LABEL. The task keeps seeing its own label (`Task.port_labels`).

Source: "Deliberate differences" in spec/nomad-surface.md.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from daemon.jobspec.diagnostics import warning
from daemon.jobspec.schema.reader import Fields, Reader
from daemon.model.job import Job, Task, TaskGroup
from daemon.model.resources import Network, Port


def _port(fields: Fields, label: str) -> Port:
    return Port(label=label, **fields.pick("to", "ignore_collision", "host_network", value="static"))


def _split(ports: list[Port], mode: str) -> Network:
    return Network(
        mode=mode,
        reserved_ports=tuple(each for each in ports if each.value),
        dynamic_ports=tuple(each for each in ports if not each.value),
    )


def group_networks(fields: Fields, reader: Reader) -> tuple[Network, ...]:
    """The group's network, if it has one; more than one is refused."""
    blocks = fields.blocks.get("network", [])
    for extra in blocks[1:]:
        reader.report("a group has one network block", extra.range, "put all ports into one block")
    if not blocks:
        return ()
    ports = _ports(blocks[0], reader)
    return (_split([_port(each, each.label) for each in ports], blocks[0].values.get("mode", "host")),)


def _ports(network: Fields, reader: Reader) -> list[Fields]:
    """The port blocks; a label that comes again is an error."""
    result: dict[str, Fields] = {}
    for port in network.blocks.get("port", []):
        if port.label in result:
            reader.report(f'the port "{port.label}" is given twice', port.range)
        result.setdefault(port.label, port)
    return list(result.values())


def move_task_ports(job: Job, fields: Fields, reader: Reader) -> Job:
    """The job with the classic task-level ports moved to their groups, and one warning that says so."""
    groups: list[TaskGroup] = []
    moved: list[Fields] = []
    sources = [*fields.blocks.get("group", []), *fields.blocks.get("task", [])]
    for group, source in zip(job.task_groups, sources, strict=True):
        tasks = source.blocks.get("task", []) if source in fields.blocks.get("group", []) else [source]
        groups.append(_move(group, tasks, reader, moved))
    if moved:
        reader.found.append(
            warning(
                "ports in the resources of a task are the classic form; they are moved to the group",
                moved[0].range,
                suggestion="write them in the group: network { port ... }",
            )
        )
    return msgspec.structs.replace(job, task_groups=tuple(groups))


def _classic_ports(task: Fields, reader: Reader, moved: list[Fields]) -> list[Fields]:
    resources = task.one("resources")
    networks = resources.blocks.get("network", []) if resources else []
    result: list[Fields] = []
    for network in networks:
        moved.append(network)
        mode = network.values.get("mode", "host")
        if mode != "host":
            place = reader.places[(*network.path, "mode")]
            reader.report("the network mode belongs to the group's network block", place)
        result += _ports(network, reader)
    return result


def _move(group: TaskGroup, tasks: list[Fields], reader: Reader, moved: list[Fields]) -> TaskGroup:
    asked = [_classic_ports(task, reader, moved) for task in tasks]
    if not any(asked):
        return group
    network = group.networks[0] if group.networks else Network()
    held = [*network.reserved_ports, *network.dynamic_ports]
    uses = Counter(port.label for ports in asked for port in ports)
    uses.update(port.label for port in held)
    made: list[Port] = []
    finished: list[Task] = []
    for task, ports in zip(group.tasks, asked, strict=True):
        labels = {p.label: p.label if uses[p.label] == 1 else f"{task.name}_{p.label}" for p in ports}
        made += [_port(port, labels[port.label]) for port in ports]
        for port in ports:
            path = (f'group "{group.name}"', "network[0]", f'port "{labels[port.label]}"')
            reader.places.setdefault(path, reader.places[port.path])
        finished.append(msgspec.structs.replace(task, port_labels={**task.port_labels, **labels}))
    if network.mode != "host":
        place = moved[-1].range
        reader.report(f'ports need the network mode "host", the group has "{network.mode}"', place)
    merged = _split([*held, *made], network.mode)
    return msgspec.structs.replace(group, tasks=tuple(finished), networks=(merged,))
