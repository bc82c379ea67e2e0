"""Makes a driver's TaskConfig from an allocation: paths, environment, ports, limits, logs, mounts.

Pure but for the two things that must be on the disk before a start: host volumes in the task's directory (for
drivers that cannot mount), and the dispatch payload.
Source: plugins/driver.py; spec/nomad-surface.md C3.
"""

from __future__ import annotations

from typing import Any

import msgspec

from daemon.model.alloc import Allocation
from daemon.model.errors import InvalidInput
from daemon.model.job import Job, Task, TaskGroup
from daemon.model.node import HostVolume
from daemon.model.payload import unpack_payload
from daemon.model.resources import AllocatedTask
from daemon.node.disk.layout import AllocLayout
from daemon.node.disk.payload import write_payload
from daemon.node.disk.volumes import show, volume_mounts
from daemon.node.env.interpolate import Interpolator, NodeFacts
from daemon.node.env.taskenv import INSIDE, EnvInput, TaskPaths, task_environment
from plugins.driver import Capabilities, DriverError, Limits, LogConfig, PortMapping, TaskConfig


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """What of the node goes into a task's configuration."""

    facts: NodeFacts
    host_ip: str = "127.0.0.1"
    cpu_total_mhz: int = 0
    host_volumes: dict[str, HostVolume] = {}
    #: what of the agent's environment goes on to tasks in the host's file system.
    host_env: dict[str, str] = {}


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """An allocation with what it refers to."""

    alloc: Allocation
    job: Job
    group: TaskGroup

    @classmethod
    def of(cls, alloc: Allocation, job: Job) -> Placed:
        """Raises InvalidInput when the job has no such group."""
        group = job.group(alloc.task_group)
        if group is None:
            raise InvalidInput(
                f"job {job.id!r} version {job.version} has no group {alloc.task_group!r}, which allocation "
                f"{alloc.id} is of",
                alloc_id=alloc.id,
            )
        return cls(alloc=alloc, job=job, group=group)

    def task(self, name: str) -> Task:
        """The task of that name. Raises InvalidInput."""
        task = self.group.task(name)
        if task is None:
            raise InvalidInput(f"allocation {self.alloc.id} has no task {name!r}", alloc_id=self.alloc.id)
        return task


def task_id(alloc_id: str, task: str, attempt: int) -> str:
    """The id under which a driver knows one attempt."""
    return f"{alloc_id}/{task}/{attempt}"


def build(
    placed: Placed,
    name: str,
    attempt: int,
    *,
    layout: AllocLayout,
    node: NodeView,
    capabilities: Capabilities,
) -> TaskConfig:
    """Everything that the driver needs. Blocking (see the module's text).

    Raises: DriverError, OSError, InvalidInput.
    """
    alloc, task = placed.alloc, placed.task(name)
    env, interpolator = _environment(placed, task, layout=layout, node=node, capabilities=capabilities)
    wanted = volume_mounts(task, placed.group, node.host_volumes, interpolator, alloc.index)
    mounts = show(wanted, layout.task(name), capabilities, task.driver)
    if task.dispatch_payload is not None:
        payload = unpack_payload(placed.job.payload)
        write_payload(layout.local(name), interpolator.text(task.dispatch_payload.file), payload)
    return TaskConfig(
        id=task_id(alloc.id, name, attempt),
        alloc_id=alloc.id,
        alloc_name=alloc.name,
        job_id=alloc.job_id,
        namespace=alloc.namespace,
        group=alloc.task_group,
        task=name,
        config=interpolator.value(task.config),
        env=env,
        user=interpolator.text(task.user),
        limits=_limits(alloc.allocated_resources.tasks.get(name), task, node.cpu_total_mhz),
        ports=port_mappings(placed, task),
        network_mode=_network_mode(placed.group, task, capabilities),
        alloc_dir=str(layout.shared),
        task_dir=str(layout.task(name)),
        mounts=mounts,
        logs=LogConfig(
            dir=str(layout.logs),
            max_files=task.log_config.max_files,
            max_file_size_mb=task.log_config.max_file_size_mb,
            rate_limit_bytes=task.log_config.rate_limit_bytes,
            disabled=task.log_config.disabled,
        ),
    )


def _environment(
    placed: Placed, task: Task, *, layout: AllocLayout, node: NodeView, capabilities: Capabilities
) -> tuple[dict[str, str], Interpolator]:
    on_host = capabilities.fs_isolation == "none"
    paths = INSIDE
    if on_host:
        paths = TaskPaths(
            alloc_dir=str(layout.shared),
            task_dir=str(layout.local(task.name)),
            secrets_dir=str(layout.secrets(task.name)),
        )
    return task_environment(
        EnvInput(
            alloc=placed.alloc,
            job=placed.job,
            group=placed.group,
            task=task,
            facts=node.facts,
            paths=paths,
            host_env=node.host_env if on_host else {},
            host_ip=node.host_ip,
            driver_ports=driver_ports(task.config),
        )
    )


def driver_ports(config: dict[str, Any]) -> dict[str, int]:
    """Ports inside by label, where the driver's block has a `port_map` (one map, or a list of maps)."""
    found: dict[str, int] = {}
    maps = config.get("port_map")
    for ports in maps if isinstance(maps, list) else [maps]:
        if isinstance(ports, dict):
            found.update({label: int(port) for label, port in ports.items() if str(port).isdecimal()})
    return found


def port_mappings(placed: Placed, task: Task) -> tuple[PortMapping, ...]:
    """The allocation's ports as this task names them; ports of other tasks (classic files) are left out."""
    others = {
        label
        for other in placed.group.tasks
        if other.name != task.name
        for label in other.port_labels.values()
    }
    own = {group_label: label for label, group_label in task.port_labels.items()}
    return tuple(
        PortMapping(
            label=own.get(port.label, port.label), value=port.value, to=max(0, port.to), host_ip=port.host_ip
        )
        for port in placed.alloc.allocated_resources.shared.ports
        if port.label in own or port.label not in others
    )


def _limits(given: AllocatedTask | None, task: Task, cpu_total_mhz: int) -> Limits:
    given = given or AllocatedTask(cpu_shares=task.resources.cpu, memory_mb=task.resources.memory_mb)
    return Limits(
        cpu_mhz=given.cpu_shares,
        cpu_total_mhz=cpu_total_mhz,
        cores=given.reserved_cores,
        memory_mb=given.memory_mb,
        memory_max_mb=given.memory_max_mb,
    )


def _network_mode(group: TaskGroup, task: Task, capabilities: Capabilities) -> str:
    mode = group.networks[0].mode if group.networks else "host"
    if mode not in capabilities.network_modes:
        known = ", ".join(capabilities.network_modes)
        raise DriverError(f"driver {task.driver!r} has no network mode {mode!r} (it has: {known})")
    return mode
