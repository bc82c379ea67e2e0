"""Where the groups of one task are and what is written into them. Pure; makes nothing.

Theory: a layout is plain data (JSON), so that it can be kept in the supervisor's record and used after a
restart by another version of this code. CPU shares follow v1's scale, 2 to 262144 with 1024 as the default,
where a MHz is a share; v2's weight is 1 to 10000.

Source: cgroups(7); the conversion of shares to weight is the one of the kernel documentation's ranges,
linear.
"""

from __future__ import annotations

import os

from plugins.cgroups.detect import V1_CONTROLLERS, V2_CONTROLLERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    from plugins.cgroups.detect import Machine

    class Layout(TypedDict):
        """Groups of one task. `dirs`: made for it and removed with it; `settings`: (file, value) in order."""

        version: int
        dirs: list[str]
        parents: list[str]
        settings: list[list[str]]


class Limits:
    """What to write; a zero leaves a limit out."""

    __slots__ = ("cores", "cpu_shares", "memory_bytes", "memory_low_bytes", "pids")

    def __init__(
        self,
        *,
        cpu_shares: int = 0,
        memory_bytes: int = 0,
        memory_low_bytes: int = 0,
        pids: int = 0,
        cores: str = "",
    ) -> None:
        self.cpu_shares = cpu_shares
        self.memory_bytes = memory_bytes
        self.memory_low_bytes = memory_low_bytes
        self.pids = pids
        self.cores = cores


def weight_of(shares: int) -> int:
    """Return v2's cpu.weight (1 to 10000) for v1's cpu.shares (2 to 262144)."""
    shares = min(max(shares, 2), 262144)
    return 1 + (shares - 2) * 9999 // 262142


def plan(machine: Machine, parent: str, name: str, limits: Limits) -> Layout:
    """Return the layout of the group PARENT/NAME on this machine."""
    if machine.version == 1:
        return _plan_v1(machine, parent, name, limits)
    return _plan_v2(machine, parent, name, limits)


def plan_for_runtime(machine: Machine, parent: str, name: str) -> Layout:
    """Return the layout of a group that a container runtime makes and limits itself, in every hierarchy."""
    at = [os.path.join(root, parent, name) for root in dict.fromkeys(machine.roots.values())]
    parents = [os.path.dirname(path) for path in at]
    return {"version": machine.version, "dirs": at, "parents": parents, "settings": []}


def _plan_v1(machine: Machine, parent: str, name: str, limits: Limits) -> Layout:
    wanted = [*V1_CONTROLLERS, *(["cpuset"] if limits.cores else [])]
    at = {key: os.path.join(machine.roots[key], parent, name) for key in wanted if key in machine.roots}
    settings: list[list[str]] = []
    if limits.cpu_shares and "cpu" in at:
        settings.append([at["cpu"] + "/cpu.shares", str(max(2, limits.cpu_shares))])
    if "memory" in at:
        if limits.memory_bytes:
            settings.append([at["memory"] + "/memory.limit_in_bytes", str(limits.memory_bytes)])
        if limits.memory_low_bytes:
            settings.append([at["memory"] + "/memory.soft_limit_in_bytes", str(limits.memory_low_bytes)])
    if limits.pids and "pids" in at:
        settings.append([at["pids"] + "/pids.max", str(limits.pids)])
    if limits.cores and "cpuset" in at:
        settings.append([at["cpuset"] + "/cpuset.cpus", limits.cores])
    # cpu and cpuacct, say, are often one mount: keep each directory once, in order
    return {
        "version": 1,
        "dirs": list(dict.fromkeys(at.values())),
        "parents": list(dict.fromkeys(os.path.dirname(path) for path in at.values())),
        "settings": settings,
    }


def _plan_v2(machine: Machine, parent: str, name: str, limits: Limits) -> Layout:
    at = os.path.join(machine.roots[""], parent, name)
    have = [key for key in V2_CONTROLLERS if key in machine.controllers]
    settings: list[list[str]] = []
    if limits.cpu_shares and "cpu" in have:
        settings.append([at + "/cpu.weight", str(weight_of(limits.cpu_shares))])
    if "memory" in have:
        if limits.memory_bytes:
            settings.append([at + "/memory.max", str(limits.memory_bytes)])
            settings.append([at + "/memory.swap.max", "0"])
        if limits.memory_low_bytes:
            settings.append([at + "/memory.low", str(limits.memory_low_bytes)])
    if limits.pids and "pids" in have:
        settings.append([at + "/pids.max", str(limits.pids)])
    if limits.cores and "cpuset" in have:
        settings.append([at + "/cpuset.cpus", limits.cores])
    return {"version": 2, "dirs": [at], "parents": [os.path.dirname(at)], "settings": settings}
