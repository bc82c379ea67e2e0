"""Turns volumes, mount blocks and the node's own mounts into the engine's Mounts and Binds.

Theory: a relative host path is inside the task's directory and must stay inside the allocation, also
after symbolic links are followed (a task may have planted one); every other host path needs the
operator's `volumes { enabled = true }`. The three directories that each task has, and the mounts that the
agent resolved from host volumes, are the agent's own word and pass.
Pure but for `resolve`, which follows symbolic links.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any, Final

from plugins.docker_driver.config import DockerConfig, MountBlock
from plugins.docker_driver.permissions import refuse
from plugins.docker_driver.settings import DockerSettings
from plugins.driver import DriverError, TaskConfig

#: where images written for Nomad expect these directories.
ALLOC_PATH: Final = "/alloc"
LOCAL_PATH: Final = "/local"
SECRETS_PATH: Final = "/secrets"
#: the job file's words and the kernel's.
PROPAGATION: Final = {
    "": "rprivate",
    "private": "rprivate",
    "host-to-task": "rslave",
    "bidirectional": "rshared",
}
Resolve = Callable[[str], str]


def task_mounts(
    task: TaskConfig, config: DockerConfig, settings: DockerSettings, resolve: Resolve = os.path.realpath
) -> tuple[list[dict[str, Any]], list[str]]:
    """The engine's `Mounts` and `Binds`. Raises DriverError for host paths that are not allowed."""
    mounts = [
        _bind(task.alloc_dir, ALLOC_PATH),
        _bind(f"{task.task_dir}/local", LOCAL_PATH),
        _bind(f"{task.task_dir}/secrets", SECRETS_PATH),
    ]
    for mount in task.mounts:
        mounts.append(_bind(mount.host_path, mount.task_path, mount.read_only, mount.propagation))
    for block in (*config.mount, *config.mounts):
        mounts.append(_mount(task, block, settings, resolve))
    binds = [_volume(task, text, config, settings, resolve) for text in config.volumes]
    _refuse_doubles(mounts, binds)
    return mounts, binds


def _bind(source: str, target: str, read_only: bool = False, propagation: str = "") -> dict[str, Any]:
    return {
        "Type": "bind",
        "Source": source,
        "Target": target,
        "ReadOnly": read_only,
        "BindOptions": {"Propagation": PROPAGATION.get(propagation, propagation)},
    }


def _host_path(task: TaskConfig, source: str, what: str, settings: DockerSettings, resolve: Resolve) -> str:
    """The absolute host path of a source, allowed or refused."""
    path = source if source.startswith("/") else os.path.normpath(f"{task.task_dir}/{source}")
    if settings.volumes.enabled:
        return path
    alloc_root = PurePosixPath(resolve(str(PurePosixPath(task.task_dir).parent)))
    real = PurePosixPath(resolve(path))
    if real != alloc_root and alloc_root not in real.parents:
        raise refuse(
            f"{what}: host path {source!r} is outside of the allocation's directory",
            "volumes { enabled = true }",
        )
    return str(real)


def _mount(task: TaskConfig, block: MountBlock, settings: DockerSettings, resolve: Resolve) -> dict[str, Any]:
    """One mount block."""
    mount: dict[str, Any] = {"Type": block.type, "Target": block.target, "ReadOnly": block.readonly}
    if block.type == "bind":
        what = f"mount of {block.target}"
        mount["Source"] = _host_path(task, block.source, what, settings, resolve)
        wanted = block.bind_options.propagation if block.bind_options else ""
        mount["BindOptions"] = {"Propagation": PROPAGATION.get(wanted, wanted)}
    elif block.type == "volume":
        mount["Source"] = block.source
        options = block.volume_options
        if options is not None:
            mount["VolumeOptions"] = {"NoCopy": options.no_copy, "Labels": options.labels}
            if options.driver_config is not None:
                if not settings.volumes.enabled:
                    what = f"mount of {block.target}: a volume's driver_config is not allowed on this node"
                    raise refuse(what, "volumes { enabled = true }")
                mount["VolumeOptions"]["DriverConfig"] = {
                    "Name": options.driver_config.name,
                    "Options": options.driver_config.options,
                }
    elif block.tmpfs_options is not None:
        mount["TmpfsOptions"] = {
            "SizeBytes": block.tmpfs_options.size,
            "Mode": block.tmpfs_options.mode,
        }
    return mount


def _volume(
    task: TaskConfig, text: str, config: DockerConfig, settings: DockerSettings, resolve: Resolve
) -> str:
    """One entry of `volumes` as the engine's bind string."""
    source, target, *rest = text.split(":")
    options = rest[0] if rest else ""
    if not target.startswith("/"):
        raise DriverError(f"volume {text!r}: expected an absolute path in the container, found {target!r}")
    if not config.volume_driver:
        source = _host_path(task, source, f"volume {text!r}", settings, resolve)
    label = settings.volumes.selinuxlabel
    if label and label not in options.split(","):
        options = f"{options},{label}" if options else label
    return f"{source}:{target}:{options}" if options else f"{source}:{target}"


def _refuse_doubles(mounts: list[dict[str, Any]], binds: list[str]) -> None:
    """Two mounts at one place: the engine's own error would not say which."""
    targets = [str(mount["Target"]) for mount in mounts] + [bind.split(":")[1] for bind in binds]
    seen: set[str] = set()
    for target in targets:
        plain = os.path.normpath(target)
        if plain in seen:
            raise DriverError(f"two mounts have the same path in the container: {plain}")
        seen.add(plain)
