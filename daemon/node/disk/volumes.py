"""Makes host volumes visible to a task.

Theory: a driver that can mount gets mounts. One that cannot, and runs its tasks in the host's file system (raw_exec),
sees a volume below the task's directory, at the destination with its leading `/` dropped: `/srv/data` is
TASK_DIR/srv/data, and a relative path in the task's working directory. A writable volume is a symbolic link there;
a read-only one is a read-only bind mount, which needs root, and is refused with the reason otherwise. Read-only is
what the operator, the group's volume or the task's mount says: any of them is enough.

Nothing is made through a symbolic link, because a task may have planted it in an earlier attempt.
Source: spec/nomad-surface.md A9, C2.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from daemon.model.job import Task, TaskGroup, VolumeMount
from daemon.model.node import HostVolume
from daemon.node.disk import mounts
from daemon.node.env.interpolate import Interpolator
from plugins.driver import Capabilities, DriverError, Mount

_PROPAGATION = {
    "": "private",
    "private": "private",
    "host-to-task": "host-to-task",
    "bidirectional": "bidirectional",
}


def volume_mounts(
    task: Task, group: TaskGroup, volumes: Mapping[str, HostVolume], interpolator: Interpolator, index: int
) -> tuple[Mount, ...]:
    """The mounts that a task asks for. Raises DriverError when a volume is not there.

    `index` is the allocation's number: a volume `per_alloc` has it in its source, `data[3]`.
    """
    found = []
    for mount in task.volume_mounts:
        request = group.volumes.get(mount.volume)
        if request is None:
            raise DriverError(
                f"volume_mount names volume {mount.volume!r}, which group {group.name!r} does not have"
            )
        source = f"{request.source}[{index}]" if request.per_alloc else request.source
        volume = volumes.get(source)
        if volume is None:
            known = ", ".join(sorted(volumes)) or "none"
            raise DriverError(f"this node has no host volume {source!r} (it has: {known})")
        if not os.path.isdir(volume.path):
            raise DriverError(
                f"host volume {source!r} is at {volume.path}, which is no directory on this node"
            )
        found.append(_mount(mount, volume, request.read_only, interpolator))
    return tuple(found)


def _mount(mount: VolumeMount, volume: HostVolume, read_only: bool, interpolator: Interpolator) -> Mount:
    propagation = _PROPAGATION.get(mount.propagation_mode)
    if propagation is None:
        raise DriverError(f"unknown propagation_mode {mount.propagation_mode!r} of volume {mount.volume!r}")
    return Mount(
        host_path=volume.path,
        task_path=interpolator.text(mount.destination),
        read_only=volume.read_only or read_only or mount.read_only,
        propagation=propagation,
    )


def show(
    wanted: tuple[Mount, ...], task_dir: Path, capabilities: Capabilities, driver: str
) -> tuple[Mount, ...]:
    """Make mounts visible in the task's directory where the driver cannot mount; what is left is the driver's.

    Blocking. Raises: DriverError, OSError.
    """
    if capabilities.mounts or not wanted:
        return wanted
    if capabilities.fs_isolation != "none":
        raise DriverError(f"driver {driver!r} cannot mount host volumes")
    for mount in wanted:
        target = _target(task_dir, mount.task_path)
        if mount.read_only:
            _bind(mount, target, driver)
        else:
            _link(mount, target)
    return ()


def _target(task_dir: Path, destination: str) -> Path:
    parts = [part for part in destination.split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        raise DriverError(f"destination {destination!r} of a volume_mount is not inside the task's directory")
    parent = task_dir.joinpath(*parts[:-1])
    parent.mkdir(parents=True, exist_ok=True)
    if os.path.realpath(parent) != os.path.join(os.path.realpath(task_dir), *parts[:-1]):
        raise DriverError(f"destination {destination!r} of a volume_mount leads through a symbolic link")
    return parent / parts[-1]


def _link(mount: Mount, target: Path) -> None:
    if target.is_symlink():
        if os.readlink(target) == mount.host_path:
            return
        target.unlink()
    if target.exists():
        raise DriverError(f"something is already at the destination {mount.task_path!r} of a volume_mount")
    target.symlink_to(mount.host_path)


def _bind(mount: Mount, target: Path, driver: str) -> None:
    if target.is_symlink():
        raise DriverError(f"the destination {mount.task_path!r} of a volume_mount is a symbolic link")
    target.mkdir(exist_ok=True)
    if target in mounts.mounts_below(target):
        return
    try:
        mounts.bind_read_only(Path(mount.host_path), target)
    except OSError as error:
        raise DriverError(
            f"the volume for {mount.task_path!r} is read-only, and driver {driver!r} runs in the host's file system: "
            f"that needs an agent that may mount ({error.strerror}); nothing was made visible"
        ) from error
