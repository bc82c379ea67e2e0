"""The OCI configuration of one task: namespaces, mounts, user, capabilities, limits.

Pure but for looking at paths. Source: OCI runtime specification 1.0.2, config.md and config-linux.md.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from plugins.driver import Limits
from plugins.exec_driver import seccomp
from plugins.exec_driver.root import HIDDEN, Piece
from plugins.supervisor.users import Account

_PROPAGATION = {"private": "rprivate", "host-to-task": "rslave", "bidirectional": "rshared"}
#: parts of /proc and /sys that tell about, or change, the whole machine.
_MASKED = (
    *("/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug"),
    *(
        "/proc/scsi",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/sys/firmware",
        "/sys/devices/virtual/powercap",
    ),
)
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


class Wanted(NamedTuple):
    """Everything that decides the configuration."""

    argv: list[str]
    env: dict[str, str]
    work_dir: str
    account: Account
    task_dir: str
    pieces: list[Piece]
    #: (bounding, ambient)
    capabilities: tuple[list[str], list[str]]
    host_pid: bool
    host_ipc: bool
    network: str
    limits: Limits
    pids_limit: int
    cgroup_path: str
    #: whether the kernel accounts swap, so that it can be limited.
    has_swap: bool
    #: whether the kernel can make a tree of mounts read-only at once (Linux 5.12).
    has_recursive_read_only: bool


def configuration(wanted: Wanted) -> dict[str, Any]:
    """Return config.json."""
    return {
        "ociVersion": "1.0.2",
        "root": {"path": wanted.task_dir, "readonly": False},
        "process": _process(wanted),
        "mounts": _kernel_mounts(wanted)
        + [_bind(piece, wanted.has_recursive_read_only) for piece in wanted.pieces],
        "linux": {
            "namespaces": _namespaces(wanted),
            "cgroupsPath": wanted.cgroup_path,
            "resources": _resources(wanted),
            "maskedPaths": [*_MASKED, *(path for path in HIDDEN if os.path.exists(path))],
            "readonlyPaths": list(_READ_ONLY),
            "rootfsPropagation": "rslave",
            "seccomp": seccomp.profile(os.uname().machine, wanted.capabilities[0]),
        },
    }


def _process(wanted: Wanted) -> dict[str, Any]:
    bounding, ambient = wanted.capabilities
    held = bounding if wanted.account.uid == 0 else ambient
    return {
        "terminal": False,
        "args": wanted.argv,
        "env": [f"{key}={value}" for key, value in wanted.env.items()],
        "cwd": wanted.work_dir,
        "user": {
            "uid": wanted.account.uid,
            "gid": wanted.account.gid,
            "additionalGids": [gid for gid in wanted.account.groups if gid != wanted.account.gid],
        },
        "capabilities": {
            "bounding": bounding,
            "permitted": held,
            "effective": held,
            "inheritable": ambient,
            "ambient": ambient,
        },
        "noNewPrivileges": True,
    }


def _namespaces(wanted: Wanted) -> list[dict[str, str]]:
    kinds = ["mount", "uts"]
    if not wanted.host_pid:
        kinds.append("pid")
    if not wanted.host_ipc:
        kinds.append("ipc")
    if wanted.network == "none":
        kinds.append("network")
    return [{"type": kind} for kind in kinds]


def _kernel_mounts(wanted: Wanted) -> list[dict[str, Any]]:
    strict = ["nosuid", "noexec", "nodev"]
    terminals = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
    devices = ["nosuid", "strictatime", "mode=755", "size=65536k"]
    table: list[tuple[str, str, str, list[str]]] = [
        ("/proc", "proc", "proc", strict),
        ("/dev", "tmpfs", "tmpfs", devices),
        ("/dev/pts", "devpts", "devpts", terminals),
        ("/sys", "sysfs", "sysfs", [*strict, "ro"]),
        ("/dev/mqueue", "mqueue", "mqueue", strict),
    ]
    mounts: list[dict[str, Any]] = [
        {"destination": destination, "type": kind, "source": source, "options": options}
        for destination, kind, source, options in table
    ]
    shm: dict[str, Any]
    if wanted.host_ipc:
        shm = {"type": "bind", "source": "/dev/shm", "options": ["rbind", "nosuid", "noexec", "nodev"]}
    else:
        shm = {"type": "tmpfs", "source": "shm", "options": [*strict, "mode=1777", "size=65536k"]}
    mounts.append({"destination": "/dev/shm", **shm})
    return mounts


def _bind(piece: Piece, recursive: bool) -> dict[str, Any]:
    options = ["rbind", _PROPAGATION.get(piece.propagation, "rprivate"), "nosuid", "nodev"]
    if piece.read_only:
        options.append("rro" if recursive else "ro")
    return {"destination": piece.inside, "type": "bind", "source": piece.host, "options": options}


def _resources(wanted: Wanted) -> dict[str, Any]:
    limits = wanted.limits
    mib = 1024 * 1024
    cpu: dict[str, Any] = {"shares": max(2, limits.cpu_mhz)}
    if limits.cores:
        cpu["cpus"] = ",".join(map(str, limits.cores))
    memory: dict[str, Any] = {}
    if limits.memory_max_mb >= 0:
        memory["limit"] = max(limits.memory_mb, limits.memory_max_mb) * mib
        if wanted.has_swap:
            memory["swap"] = memory["limit"]
    if limits.memory_max_mb:
        # more than reserved is allowed: what is reserved is what the kernel reclaims last
        memory["reservation"] = limits.memory_mb * mib
    resources: dict[str, Any] = {
        # all devices are refused; the runtime adds null, zero, full, random, urandom, tty and the terminals
        "devices": [{"allow": False, "access": "rwm"}],
        "cpu": cpu,
        "memory": memory,
    }
    if wanted.pids_limit:
        resources["pids"] = {"limit": wanted.pids_limit}
    return resources
