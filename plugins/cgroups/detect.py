"""What control groups this machine has and whether we may make our own.

Theory: version 1 gives each controller a hierarchy of its own, version 2 has one for all. A machine with v1
controllers and an empty v2 tree beside them (hybrid) counts as v1. A group is kept below the root of each
mount, under a parent named after the data directory, so that agents on one machine never meet.

Not here: systemd's D-Bus API; a group made by hand under the root is what container engines without systemd
do. Source: cgroups(7), the kernel's admin-guide/cgroup-v2.
"""

from __future__ import annotations

import os

#: v1 controllers that a task gets a group in, where mounted. freezer comes first: joining it first means that
#: whatever was forked can be found by it.
V1_CONTROLLERS = ("freezer", "pids", "memory", "cpu", "cpuacct")
_MOUNT_OPTIONS = {
    *("rw", "ro", "nosuid", "nodev", "noexec", "relatime", "noatime", "nodiratime", "seclabel", "xattr"),
    *("noprefix", "clone_children", "cpuset_v2_mode"),
}
V2_CONTROLLERS = ("cpu", "memory", "pids", "cpuset")


class Machine:
    """Mounted hierarchies. `roots`: controller -> directory on v1; `{"": directory}` on v2."""

    __slots__ = ("controllers", "roots", "version")

    def __init__(self, version: int, roots: dict[str, str], controllers: tuple[str, ...]) -> None:
        self.version = version
        self.roots = roots
        self.controllers = controllers


def parse_mounts(text: str) -> tuple[dict[str, str], list[str]]:
    """Return (v1 controller -> mount point, v2 mount points) from the text of /proc/self/mounts."""
    v1: dict[str, str] = {}
    v2: list[str] = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 4:
            continue
        # the kernel writes a blank in a path as \040
        target = fields[1].replace("\\040", " ")
        if fields[2] == "cgroup2":
            v2.append(target)
        elif fields[2] == "cgroup":
            # beside controllers there are plain mount options, and named hierarchies such as name=systemd
            for option in set(fields[3].split(",")) - _MOUNT_OPTIONS:
                v1.setdefault(option, target)
    return v1, v2


def find_machine(mounts: str = "/proc/self/mounts") -> Machine | None:
    """Return the hierarchies of this machine. None: there are none that we can use."""
    try:
        with open(mounts, encoding="utf-8") as file:
            v1, v2 = parse_mounts(file.read())
    except OSError:
        return None
    if "freezer" in v1:
        if v2:
            # hybrid: no controllers there, but runtimes make a group in it all the same
            v1["unified"] = v2[0]
        return Machine(1, v1, tuple(v1))
    for root in v2:
        try:
            with open(os.path.join(root, "cgroup.controllers"), encoding="ascii") as file:
                return Machine(2, {"": root}, tuple(file.read().split()))
        except OSError:
            continue
    return None


def why_unusable(machine: Machine | None) -> str:
    """Return the reason why we cannot make groups here, in words; empty when we can."""
    if machine is None:
        return "no cgroup hierarchy is mounted (looked in /proc/self/mounts)"
    needed = [machine.roots["freezer"]] if machine.version == 1 else list(machine.roots.values())
    for root in needed:
        if not os.access(root, os.W_OK):
            return f"no permission to make groups in {root} (uid {os.geteuid()})"
    return ""
