"""What one allocation of a group will count for, and the resources that its tasks are given. Pure.

Theory: tasks with lifecycle hooks do not all run at once: the peak is the largest of the phases before, during
and after the main tasks, field by field.

Source: spec/scheduler.md 4.6.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from daemon.model.job import Task, TaskGroup
from daemon.model.resources import AllocatedResources, AllocatedShared, AllocatedTask, Usage
from daemon.model.scheduler_config import SchedulerConfig
from daemon.scheduler.unit_ask import Given


def _sum(tasks: Iterable[Task]) -> tuple[int, int]:
    cpu = memory = 0
    for task in tasks:
        cpu += 0 if task.resources.cores else task.resources.cpu
        memory += task.resources.memory_mb + task.resources.secrets_mb
    return cpu, memory


def group_usage(group: TaskGroup) -> Usage:
    """Peak usage over the phases of one allocation's life."""
    cores = sum(task.resources.cores for task in group.tasks)
    disk_mb = group.ephemeral_disk.size_mb
    if not any(task.lifecycle for task in group.tasks):
        cpu, memory_mb = _sum(group.tasks)
        return Usage(cpu=cpu, memory_mb=memory_mb, disk_mb=disk_mb, cores=cores)
    hook = {task.name: task.lifecycle.hook if task.lifecycle else "" for task in group.tasks}
    sidecars = {task.name for task in group.tasks if task.lifecycle and task.lifecycle.sidecar}
    phases = (
        _sum(t for t in group.tasks if hook[t.name] == "prestart"),
        _sum(
            t
            for t in group.tasks
            if hook[t.name] in ("", "poststart") or (hook[t.name] == "prestart" and t.name in sidecars)
        ),
        _sum(t for t in group.tasks if hook[t.name] == "poststop"),
    )
    return Usage(
        cpu=max(cpu for cpu, _ in phases),
        memory_mb=max(memory for _, memory in phases),
        disk_mb=disk_mb,
        cores=cores,
    )


def with_units(resources: AllocatedResources, given: Given) -> AllocatedResources:
    """The same with cores, which count as so much cpu, and devices."""
    mhz = {task: len(cores) * given.core_mhz for task, cores in given.cores.items()}
    tasks = {
        name: replace(
            task,
            cpu_shares=mhz.get(name, task.cpu_shares),
            reserved_cores=given.cores.get(name, ()),
            devices=given.devices.get(name, ()),
        )
        for name, task in resources.tasks.items()
    }
    usage = replace(resources.usage, cpu=resources.usage.cpu + sum(mhz.values()))
    return replace(resources, tasks=tasks, usage=usage)


def group_resources(group: TaskGroup, config: SchedulerConfig) -> AllocatedResources:
    """What every allocation of the group is given, without ports."""
    return AllocatedResources(
        tasks={
            task.name: AllocatedTask(
                cpu_shares=task.resources.cpu,
                memory_mb=task.resources.memory_mb,
                memory_max_mb=task.resources.memory_max_mb if config.memory_oversubscription_enabled else 0,
            )
            for task in group.tasks
        },
        shared=AllocatedShared(disk_mb=group.ephemeral_disk.size_mb),
        usage=group_usage(group),
    )
