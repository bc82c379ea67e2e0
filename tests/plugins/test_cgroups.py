"""Control groups: what is found, what is planned; version 2 on recorded trees, version 1 on the machine."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from plugins.cgroups import group
from plugins.cgroups.detect import Machine, find_machine, parse_mounts, why_unusable
from plugins.cgroups.layout import Limits, plan, plan_for_runtime, weight_of
from plugins.cgroups.usage import read_usage

V1 = """\
tmpfs /sys/fs/cgroup tmpfs rw,relatime,mode=755 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,nodev,noexec,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
cgroup /sys/fs/cgroup/freezer cgroup rw,relatime,freezer 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,xattr,name=systemd 0 0
"""
HYBRID = V1 + "cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n"
V2 = "cgroup2 {root} cgroup2 rw,nosuid,nodev,noexec,relatime,nsdelegate,memory_recursiveprot 0 0\n"


def tree(root, controllers="cpuset cpu io memory pids"):
    """A version 2 hierarchy as files, as the kernel shows it at its root."""
    root.mkdir(parents=True)
    (root / "cgroup.controllers").write_text(controllers + "\n")
    (root / "cgroup.subtree_control").write_text("\n")
    (root / "cgroup.procs").write_text("1\n2\n")
    return root


def grown(layout, files=()):
    """What the kernel puts into new groups appears here by hand."""
    for path in layout["dirs"]:
        os.makedirs(path, exist_ok=True)
        for name, text in files:
            with open(f"{path}/{name}", "w") as file:
                file.write(text)


def test_mounts():
    v1, v2 = parse_mounts(HYBRID)
    assert v1["cpu"] == v1["cpuacct"] == "/sys/fs/cgroup/cpu,cpuacct" and v2 == ["/sys/fs/cgroup/unified"]
    assert v1["name=systemd"] == "/sys/fs/cgroup/systemd"
    assert not {"rw", "relatime", "xattr", "nosuid"} & set(v1)
    assert parse_mounts("cgroup2 /with\\040blank cgroup2 rw 0 0")[1] == ["/with blank"]
    assert parse_mounts("nonsense\n\n") == ({}, [])


@pytest.mark.parametrize(
    ("text", "version", "keys"),
    [
        (V1, 1, {"cpu", "cpuacct", "memory", "freezer", "name=systemd"}),
        (HYBRID, 1, {"unified"}),
        ("", None, set()),
    ],
)
def test_find_machine(tmp_path, text, version, keys):
    (tmp_path / "mounts").write_text(text)
    machine = find_machine(str(tmp_path / "mounts"))
    assert (machine.version if machine else None) == version
    assert machine is None or keys <= set(machine.roots)
    if machine is None:
        assert "no cgroup hierarchy" in why_unusable(machine)


def test_find_version_two(tmp_path):
    root = tree(tmp_path / "cg")
    (tmp_path / "mounts").write_text(V2.format(root=root))
    machine = find_machine(str(tmp_path / "mounts"))
    assert machine.version == 2 and machine.roots == {"": str(root)} and "memory" in machine.controllers
    assert why_unusable(machine) == ""
    assert find_machine(str(tmp_path / "nothing")) is None


@pytest.mark.parametrize(("shares", "weight"), [(0, 1), (2, 1), (1024, 39), (262144, 10000), (10**9, 10000)])
def test_weight(shares, weight):
    assert weight_of(shares) == weight


def test_plan_v1_keeps_shared_mounts_once():
    machine = Machine(1, parse_mounts(V1)[0], ())
    layout = plan(
        machine, "encamp-x", "task", Limits(cpu_shares=1, memory_bytes=10, memory_low_bytes=5, pids=7)
    )
    assert layout["dirs"] == [
        "/sys/fs/cgroup/freezer/encamp-x/task",
        "/sys/fs/cgroup/memory/encamp-x/task",
        "/sys/fs/cgroup/cpu,cpuacct/encamp-x/task",
    ]
    assert ["/sys/fs/cgroup/cpu,cpuacct/encamp-x/task/cpu.shares", "2"] in layout["settings"]
    assert not any("pids" in path for path, _ in layout["settings"]), "pids is not mounted there"
    assert "/sys/fs/cgroup/systemd/encamp-x/task" in plan_for_runtime(machine, "encamp-x", "task")["dirs"]


def test_v2_create_set_and_remove(tmp_path):
    root = tree(tmp_path / "cg")
    machine = Machine(2, {"": str(root)}, ("cpuset", "cpu", "io", "memory", "pids"))
    layout = plan(
        machine, "encamp-x", "task", Limits(cpu_shares=1024, memory_bytes=1 << 20, pids=9, cores="0-1")
    )
    names = ("cpu.weight", "memory.max", "pids.max", "cpuset.cpus")
    grown(layout, [(name, "") for name in names])
    # the parent's files, as the kernel would make them
    for name, text in (("cgroup.controllers", "cpuset cpu memory pids"), ("cgroup.subtree_control", "")):
        (root / "encamp-x" / name).write_text(text)
    assert group.create(layout) == []
    read = {name: open_text(f"{layout['dirs'][0]}/{name}") for name in names}
    assert read == {"cpu.weight": "39", "memory.max": str(1 << 20), "pids.max": "9", "cpuset.cpus": "0-1"}
    assert (root / "cgroup.subtree_control").read_text().startswith("+")
    assert (root / "encamp-x/cgroup.subtree_control").read_text().startswith("+")


def open_text(path):
    with open(path) as file:
        return file.read()


def test_v2_says_what_it_could_not_set(tmp_path):
    """A container's root group has processes, so it hands no controllers down: found and killed, not limited."""
    root = tree(tmp_path / "cg")
    layout = plan(Machine(2, {"": str(root)}, ("memory",)), "encamp-x", "task", Limits(memory_bytes=1 << 20))
    problems = group.create(layout)
    assert len(problems) == 1 and "memory.max" in problems[0] and "No such file" in problems[0]
    assert group.remove(layout) is True
    group.remove_parents(layout)
    assert not (root / "encamp-x").exists() and root.exists()


def test_v2_kill_oom_pids_usage(tmp_path):
    root = tree(tmp_path / "cg")
    layout = plan(Machine(2, {"": str(root)}, ("memory",)), "encamp-x", "task", Limits())
    grown(
        layout,
        [
            ("cgroup.kill", ""),
            ("cgroup.procs", "11\n12\n"),
            ("memory.events", "low 0\nhigh 0\nmax 5\noom 2\noom_kill 2\n"),
            ("cpu.stat", "usage_usec 1500\nuser_usec 1000\n"),
            ("memory.stat", "anon 4096\nfile 8192\nslab 1\n"),
            ("memory.peak", "99999\n"),
            ("pids.current", "3\n"),
        ],
    )
    assert group.pids(layout) == [11, 12]
    assert group.kill(layout) is False
    assert open_text(layout["dirs"][0] + "/cgroup.kill") == "1"
    grown(layout, [("cgroup.procs", "")])
    assert group.kill(layout) is True
    assert group.oom_kills(layout) == 2
    usage = read_usage(layout)
    assert (usage.cpu_ns, usage.memory_rss_bytes, usage.memory_cache_bytes) == (1_500_000, 4096, 8192)
    assert (usage.memory_max_bytes, usage.pids) == (99999, 3)


def test_v2_without_cgroup_kill_freezes(tmp_path):
    """Linux before 5.14: members one by one, and only real members; this process is not one."""
    root = tree(tmp_path / "cg")
    layout = plan(Machine(2, {"": str(root)}, ()), "encamp-x", "task", Limits())
    grown(layout, [("cgroup.freeze", "0"), ("cgroup.procs", f"{os.getpid()}\n")])
    assert group.kill(layout) is False
    assert open_text(layout["dirs"][0] + "/cgroup.freeze").startswith("0"), "thawed again"


def test_gone_groups_are_no_error():
    layout = {"version": 1, "dirs": ["/no/such/x/y"], "parents": ["/no/such/x"], "settings": []}
    assert group.pids(layout) == [] and group.kill(layout) is True
    assert group.oom_kills(layout) == 0 and group.remove(layout) is True and read_usage(layout) is None


@pytest.mark.root
def test_on_this_machine():
    machine = find_machine()
    if why_unusable(machine):
        pytest.skip(why_unusable(machine))
    name = f"encamp-test-{os.getpid()}"
    layout = plan(machine, name, "task", Limits(cpu_shares=200, memory_bytes=1 << 26, pids=20))
    assert group.create(layout) == []
    children = []
    try:
        for _ in range(3):
            child = subprocess.Popen(["sleep", "1000"])
            children.append(child)
            for path in layout["dirs"]:
                with open(path + "/cgroup.procs", "w") as file:
                    file.write(str(child.pid))
        assert group.pids(layout) == sorted(child.pid for child in children)
        assert all(group.is_member(layout, child.pid) for child in children)
        assert not group.is_member(layout, os.getpid())
        assert group.remove(layout) is False
        assert read_usage(layout).pids == 3
        for _ in range(200):
            if group.kill(layout):
                break
        assert [child.wait(10) for child in children] == [-signal.SIGKILL] * 3
        assert group.kill(layout) is True
    finally:
        for child in children:
            child.kill()
            child.wait()
        assert group.remove(layout) is True
        group.remove_parents(layout)
    assert not any(os.path.exists(path) for path in layout["parents"])
