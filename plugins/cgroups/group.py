"""Make, list, kill and remove the groups of one task, from its layout.

Theory: what a task forks inherits its group, so the group is the exact set of what it started. Version 2
kills it by one write (`cgroup.kill`, Linux 5.14); elsewhere we freeze, signal every member through a pidfd
and thaw, and the caller repeats until nothing is left. A pid read from a group is signalled only after its
pidfd is open and the process is still found in the group, since the kernel may have given the number away in
between.

Source: cgroups(7); the kernel's admin-guide/cgroup-v2 and cgroup-v1/freezer-subsystem.
"""

from __future__ import annotations

import errno
import os
import signal

from plugins.cgroups.detect import V2_CONTROLLERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from plugins.cgroups.layout import Layout


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()


def _write(path: str, value: str) -> None:
    # no O_CREAT: on a real hierarchy it is meaningless, and a misspelt name must fail
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def create(layout: Layout) -> list[str]:
    """Make the groups and write the settings. Returns what could not be set, in words.

    Raises: OSError when a group cannot be made; then none is left.
    """
    problems: list[str] = []
    try:
        for parent in layout["parents"]:
            _make_parent(parent, layout["version"])
        for path in layout["dirs"]:
            os.makedirs(path, exist_ok=True)
            if layout["version"] == 1 and os.path.exists(path + "/cpuset.mems"):
                _write(path + "/cpuset.mems", _read(os.path.dirname(path) + "/cpuset.mems").strip() or "0")
    except OSError:
        remove(layout)
        remove_parents(layout)
        raise
    for path, value in layout["settings"]:
        try:
            _write(path, value)
        except OSError as error:
            # memory.swap.max is missing where the kernel accounts no swap: then there is nothing to limit
            if not (error.errno == errno.ENOENT and path.endswith("swap.max")):
                problems.append(f"cannot write {value} to {path}: {error.strerror}")
    return problems


def _make_parent(path: str, version: int) -> None:
    os.makedirs(path, exist_ok=True)
    if version == 1:
        if os.path.exists(path + "/cpuset.cpus") and not _read(path + "/cpuset.cpus").strip():
            for name in ("cpuset.cpus", "cpuset.mems"):
                _write(f"{path}/{name}", _read(f"{os.path.dirname(path)}/{name}").strip())
        return
    for level in (os.path.dirname(path), path):
        try:
            have = _read(level + "/cgroup.controllers").split()
            done = _read(level + "/cgroup.subtree_control").split()
        except OSError:
            continue
        for key in V2_CONTROLLERS:
            if key in have and key not in done:
                try:
                    _write(level + "/cgroup.subtree_control", "+" + key)
                except OSError:
                    # a parent with processes of its own (a container's root) cannot hand controllers down;
                    # the group still finds and kills everything, only its limits are missing, which `create`
                    # then reports
                    continue


def pids(layout: Layout) -> list[int]:
    """Return the processes in the groups."""
    found: set[int] = set()
    for path in layout["dirs"]:
        for level, _, _ in os.walk(path):
            try:
                found.update(int(word) for word in _read(level + "/cgroup.procs").split())
            except OSError:
                continue
    found.discard(0)
    return sorted(found)


def is_member(layout: Layout, pid: int) -> bool:
    """Say whether a process is in one of the groups (or below)."""
    try:
        lines = _read(f"/proc/{pid}/cgroup").splitlines()
    except OSError:
        return False
    # the mount's place in the host's tree is unknown here, the last two names are ours alone
    ours = ["/" + "/".join(path.split("/")[-2:]) + "/" for path in layout["dirs"]]
    return any(our in line.split(":", 2)[-1] + "/" for line in lines for our in ours)


def kill(layout: Layout) -> bool:
    """Send SIGKILL to all members once. True: nobody was there. Call it again until it says so."""
    if layout["version"] == 2:
        try:
            _write(layout["dirs"][0] + "/cgroup.kill", "1")
            return not pids(layout)
        except OSError:
            pass  # an older kernel, or gone already: one by one below
    freezer = _freezer(layout)
    _try_write(freezer, "FROZEN" if layout["version"] == 1 else "1")
    try:
        members = pids(layout)
        for pid in members:
            _kill_member(layout, pid)
    finally:
        _try_write(freezer, "THAWED" if layout["version"] == 1 else "0")
    return not members


def _freezer(layout: Layout) -> str:
    if layout["version"] == 2:
        return layout["dirs"][0] + "/cgroup.freeze"
    return next(
        (path + "/freezer.state" for path in layout["dirs"] if os.path.exists(path + "/freezer.state")), ""
    )


def _try_write(path: str, value: str) -> None:
    try:
        if path:
            _write(path, value)
    except OSError:
        pass  # without freezing, killing takes a few more rounds and that is all


def _kill_member(layout: Layout, pid: int) -> None:
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return
    try:
        if is_member(layout, pid):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        os.close(fd)


def oom_kills(layout: Layout) -> int:
    """Return how many processes of the groups were killed for want of memory so far."""
    for path in layout["dirs"]:
        for name in ("memory.events", "memory.oom_control"):
            try:
                text = _read(f"{path}/{name}")
            except OSError:
                continue
            for line in text.splitlines():
                key, _, value = line.partition(" ")
                if key == "oom_kill":
                    return int(value)
    return 0


def remove(layout: Layout) -> bool:
    """Remove the groups, inner ones first. False: something is still inside."""
    clean = True
    for path in layout["dirs"]:
        for level, _, _ in os.walk(path, topdown=False):
            try:
                os.rmdir(level)
            except FileNotFoundError:
                continue
            except OSError:
                clean = False
    return clean


def remove_parents(layout: Layout) -> None:
    """Remove the groups above, where they are empty.

    Only while no task is being started: a runtime that has just made the parent would find it gone.
    """
    for parent in layout["parents"]:
        try:
            os.rmdir(parent)
        except OSError:
            continue  # other tasks of this node are in it, or it is gone
