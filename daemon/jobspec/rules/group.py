"""Rules of a group: its tasks together, its network, volumes and disk. Pure.

Source: spec/nomad-surface.md C5.
"""

from __future__ import annotations

from collections import Counter

from daemon.jobspec.rules.constraints import check_constraints
from daemon.jobspec.rules.policies import (
    check_disconnect,
    check_migrate,
    check_reschedule,
    check_restart,
    check_update,
)
from daemon.jobspec.rules.problem import Report, step
from daemon.jobspec.rules.task import check_task
from daemon.jobspec.rules.wishes import check_affinities, check_spreads
from daemon.model.enums import JobType
from daemon.model.job import Job, TaskGroup
from daemon.model.resources import Network, Port
from daemon.model.volume import ACCESS_MODES, ATTACHMENT_MODES


def check_group(job: Job, group: TaskGroup, report: Report) -> None:
    """One group of a job."""
    report.need(group.name.isprintable(), "", "a group's name cannot hold control characters")
    report.need(group.count >= 0, "count", "count cannot be negative")
    if job.type in (JobType.SYSTEM, JobType.SYSBATCH) and group.count > 1:
        message = f"a {job.type} job runs once on every node: count is 1"
        report.error("count", message, "remove count")
    _check_tasks(group, report)
    check_constraints(group.constraints, report, in_task=False)
    check_affinities(group.affinities, report)
    check_spreads(group.spreads, report)
    check_restart(group.restart_policy, report.below("restart"))
    _check_policies(job, group, report)
    report.need(group.shutdown_delay_ns >= 0, "shutdown_delay", "shutdown_delay cannot be negative")
    if group.max_run_duration_ns:
        report.need(group.max_run_duration_ns > 0, "max_run_duration", "max_run_duration cannot be negative")
        batch = job.type in (JobType.BATCH, JobType.SYSBATCH)
        report.need(batch, "max_run_duration", "only batch jobs have a max_run_duration")
    disk = group.ephemeral_disk.size_mb
    report.below("ephemeral_disk").need(
        disk >= 10, "size", f"an ephemeral disk has at least 10 MB, not {disk}"
    )
    _check_networks(group, report)
    for name, volume in group.volumes.items():
        inner = report.below(step("volume", name))
        inner.need(volume.type in ("host", "csi"), "type", 'the type of a volume is "host"')
        inner.need(bool(volume.source), "source", "a volume needs a source: the name of a host volume")
        for key, mode, known in (
            ("access_mode", volume.access_mode, ACCESS_MODES),
            ("attachment_mode", volume.attachment_mode, ATTACHMENT_MODES),
        ):
            inner.need(not mode or mode in known, key, f'{key} "{mode}" is none of {", ".join(known)}')
        everywhere = job.type in (JobType.SYSTEM, JobType.SYSBATCH)
        message = f"allocations of a {job.type} job have no numbers of their own: per_alloc tells none apart"
        inner.need(not (volume.per_alloc and everywhere), "per_alloc", message)


def _check_tasks(group: TaskGroup, report: Report) -> None:
    if not group.tasks:
        report.error("task", "a group needs at least one task", 'task "name" { driver = ... }')
    elif all(task.lifecycle is not None for task in group.tasks):
        report.error("", "a group needs at least one task without a lifecycle block")
    leaders = [task for task in group.tasks if task.leader]
    for extra in leaders[1:]:
        message = f'only one task leads; "{leaders[0].name}" does already'
        report.below(step("task", extra.name)).error("leader", message)
    seen: Counter[str] = Counter()
    for task in group.tasks:
        seen[task.name] += 1
        inner = report.below(step("task", task.name, seen[task.name]))
        if seen[task.name] > 1:
            inner.error(
                "", f'the group has two tasks "{task.name}"', "every task of a group has its own name"
            )
        check_task(task, group, inner)


def _check_policies(job: Job, group: TaskGroup, report: Report) -> None:
    if group.reschedule_policy is not None:
        inner = report.below("reschedule")
        if job.type in (JobType.SYSTEM, JobType.SYSBATCH):
            message = f"a {job.type} job stays on its node: it has no reschedule block"
            inner.error("", message, "remove it")
        else:
            check_reschedule(group.reschedule_policy, inner)
    if group.scaling is not None:
        _check_scaling(group, report.below("scaling"))
    if group.migrate is not None:
        check_migrate(group.migrate, job.type, report.below("migrate"))
    if group.disconnect is not None:
        check_disconnect(group.disconnect, job.type, report.below("disconnect"))
    if group.update is not None:
        inner = report.below("update")
        check_update(group.update, job.type, inner)
        if job.type is JobType.SERVICE and group.update.max_parallel > max(group.count, 1):
            message = f"max_parallel ({group.update.max_parallel}) is more than the count of {group.count}"
            inner.warn("max_parallel", message, "all of the group is updated at once")


def _check_scaling(group: TaskGroup, report: Report) -> None:
    limits = group.scaling
    assert limits is not None
    report.need(limits.max > 0, "max", "a scaling block needs a max of at least 1")
    report.need(
        limits.max <= 0 or 0 <= limits.min <= limits.max, "min", f"min lies from 0 to the max of {limits.max}"
    )
    within = limits.min <= group.count <= limits.max
    message = f"the count of {group.count} lies outside of scaling, {limits.min} to {limits.max}"
    report.need(within or not 0 <= limits.min <= limits.max, "", message)


def _check_networks(group: TaskGroup, report: Report) -> None:
    report.need(len(group.networks) <= 1, "network[1]", "a group has one network block")
    labels: set[str] = set()
    numbers: dict[int, str] = {}
    for at, network in enumerate(group.networks):
        inner = report.below(f"network[{at}]")
        if network.mode not in ("host", "none", "bridge") and not network.mode.startswith("cni/"):
            inner.error("mode", f'there is no network mode "{network.mode}"', 'modes: "host", "none"')
        for port in (*network.reserved_ports, *network.dynamic_ports):
            place = inner.below(step("port", port.label))
            place.need(port.label not in labels, "", f'the port "{port.label}" is given twice')
            labels.add(port.label)
            _check_port(port, network, numbers, place)


def _check_port(port: Port, network: Network, numbers: dict[int, str], report: Report) -> None:
    report.need(bool(port.label) and "\0" not in port.label, "", "a port needs a label")
    report.need(0 <= port.value <= 65535, "static", f"a port lies from 1 to 65535, not {port.value}")
    report.need(-1 <= port.to <= 65535, "to", f"a port lies from 1 to 65535, not {port.to}", "-1: as outside")
    if network.mode == "none":
        report.error("", 'the network mode "none" has no ports')
    if port.value and not port.ignore_collision:
        if port.value in numbers:
            report.error("static", f'port {port.value} is taken by "{numbers[port.value]}" of the same group')
        numbers.setdefault(port.value, port.label)
    alias = port.host_network
    good = "${" not in alias or (alias.startswith(("${attr.", "${meta.", "${node.")) and alias.endswith("}"))
    report.need(good, "host_network", f'"{alias}" is neither a name nor a target such as ${{meta.net}}')
    if port.ignore_collision and network.mode != "host":
        report.error("ignore_collision", 'ignore_collision needs the network mode "host"')
