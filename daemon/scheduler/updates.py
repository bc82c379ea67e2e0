"""May an allocation go on under a newer job version, or must it be replaced? Pure.

Theory: what a running task cannot be told is compared field by field; everything else (count, policies, rules
still met) is in-place. The caller adds the check that the current node still serves.

Source: spec/scheduler.md 6.3.
"""

from __future__ import annotations

from typing import Any

from daemon.model.job import Job, Task, TaskGroup
from daemon.model.resources import Network


def _task_facts(task: Task) -> tuple[Any, ...]:
    resources = task.resources
    return (
        task.driver,
        task.user,
        task.config,
        task.env,
        task.volume_mounts,
        resources.cpu,
        resources.cores,
        resources.memory_mb,
        resources.memory_max_mb,
        resources.secrets_mb,
        resources.devices,
        task.lifecycle,
        task.leader,
        task.dispatch_payload,
        task.port_labels,
        task.log_config.disabled,
        task.restart_policy.render_templates if task.restart_policy else False,
    )


def _network_facts(network: Network) -> tuple[Any, ...]:
    ports = sorted(
        (port.label, port.value, port.to, port.host_network, port.ignore_collision)
        for port in (*network.reserved_ports, *network.dynamic_ports)
    )
    return (network.mode, network.hostname, network.dns, network.mbits, ports)


def _merged_meta(job: Job, group: TaskGroup, task: Task) -> dict[str, str]:
    return {**job.meta, **group.meta, **task.meta}


def is_destructive(old_job: Job | None, new_job: Job, group_name: str) -> bool:
    """True when the group's allocations of `old_job` cannot go on as they are under `new_job`."""
    old = old_job.group(group_name) if old_job else None
    new = new_job.group(group_name)
    if old is None or new is None or old_job is None or len(old.tasks) != len(new.tasks):
        return True
    if [_network_facts(n) for n in old.networks] != [_network_facts(n) for n in new.networks]:
        return True
    if old.ephemeral_disk != new.ephemeral_disk or old.volumes != new.volumes:
        return True
    if old.restart_policy.render_templates != new.restart_policy.render_templates:
        return True
    for task in new.tasks:
        before = old.task(task.name)
        if before is None or _task_facts(before) != _task_facts(task):
            return True
        if _merged_meta(old_job, old, before) != _merged_meta(new_job, new, task):
            return True
    return False
