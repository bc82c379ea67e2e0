"""Memory, disk, network, host, signals and cgroups: recorded trees, and this machine itself."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from plugins.fingerprint.base import ProbeContext
from plugins.fingerprint.cgroup import CgroupProbe
from plugins.fingerprint.files import cpu_list
from plugins.fingerprint.host import HostProbe, os_release
from plugins.fingerprint.memory import MemoryProbe
from plugins.fingerprint.network import NetworkProbe, default_devices, ordered
from plugins.fingerprint.plugin import encamp_fingerprinters
from plugins.fingerprint.signals import SignalProbe
from plugins.fingerprint.storage import StorageProbe, volume_of
from tests.plugins.fingerprint.trees import tree

ROUTES = (
    "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    "wlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n"
    "eth1\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
    "eth1\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"
)
ROUTES6 = (
    f"{'0' * 32} 00 {'0' * 32} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth6\n"
    f"{'0' * 32} 00 {'0' * 32} 00 {'0' * 32} ffffffff 00000001 00000000 00200200       lo\n"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0-3,8", {0, 1, 2, 3, 8}), ("0", {0}), ("", set()), ("x,2-", set()), ("1-x,4", {4})],
)
def test_kernel_lists(text: str, expected: set[int]) -> None:
    assert cpu_list(text) == expected


def test_memory(tmp_path: Path) -> None:
    context = tree(tmp_path, {"proc/meminfo": "MemTotal:       16303844 kB\nMemFree: 1 kB\n"})
    found = MemoryProbe().probe(context)
    assert found.attributes == {"memory.totalbytes": str(16303844 * 1024)}
    assert found.resources.memory_mb == 16303844 // 1024


def test_memory_override_and_unreadable(tmp_path: Path) -> None:
    assert MemoryProbe().probe(tree(tmp_path, {}, memory_total_mb=512)).resources.memory_mb == 512
    with pytest.raises(ValueError, match="client.memory_total_mb"):
        MemoryProbe().probe(tree(tmp_path, {"proc/meminfo": "nothing here\n"}))


def _statvfs(_: Path) -> Any:
    return SimpleNamespace(f_blocks=1000, f_frsize=2**20, f_bavail=400)


@pytest.mark.parametrize(
    ("overrides", "total", "free"),
    [
        ({}, 1000, 400),
        ({"disk_total_mb": 300}, 300, 300),
        ({"disk_total_mb": 2000, "disk_free_mb": 100}, 2000, 100),
        ({"disk_free_mb": 50}, 1000, 50),
    ],
)
def test_storage(tmp_path: Path, overrides: dict[str, int], total: int, free: int) -> None:
    found = StorageProbe(statvfs=_statvfs).probe(tree(tmp_path, {}, **overrides))
    assert found.attributes["unique.storage.bytestotal"] == str(total * 2**20)
    assert found.attributes["unique.storage.bytesfree"] == str(free * 2**20)
    assert found.resources.disk_mb == free


def test_the_volume_is_the_innermost_mount() -> None:
    mountinfo = (
        "22 1 254:0 / / rw shared:1 - ext4 /dev/vda1 rw\n"
        "23 22 254:1 / /var/lib rw - xfs /dev/vdb rw\n"
        "24 22 254:2 / /with\\040space rw - xfs /dev/vdc rw\n"
        "broken line\n"
    )
    assert volume_of("/var/lib/encamp", mountinfo) == "/dev/vdb"
    assert volume_of("/var/library", mountinfo) == "/dev/vda1"
    assert volume_of("/with space/x", mountinfo) == "/dev/vdc"
    assert volume_of("/x", "") == ""


def _machine(tmp_path: Path, files: dict[str, str], **overrides: Any) -> ProbeContext:
    context = tree(tmp_path, files, **overrides)
    for name in ("eth0", "eth1"):
        (tmp_path / f"sys/class/net/{name}/device").mkdir(parents=True)
    return context


ADDRESSES = {
    "lo": ["127.0.0.1", "::1"],
    "docker0": ["172.17.0.1"],
    "eth0": ["10.0.0.5"],
    "eth1": ["fe80::1", "2001:db8::7", "192.168.1.7"],
    "eth2": [],
}


@pytest.mark.parametrize(
    ("files", "overrides", "addresses", "networks"),
    [
        pytest.param(
            {
                "proc/net/route": ROUTES,
                "sys/class/net/eth1/speed": "10000\n",
                "sys/class/net/eth0/speed": "-1\n",
            },
            {},
            ADDRESSES,
            (("eth1", "192.168.1.7", 10000), ("eth0", "10.0.0.5", 1000)),
            id="default-route",
        ),
        pytest.param(
            {}, {}, ADDRESSES, (("eth0", "10.0.0.5", 1000), ("eth1", "192.168.1.7", 1000)), id="no-route"
        ),
        pytest.param(
            {"proc/net/route": ROUTES},
            {"network_interface": "lo", "network_speed": 50},
            ADDRESSES,
            (("lo", "127.0.0.1", 50), ("eth0", "10.0.0.5", 50), ("eth1", "192.168.1.7", 50)),
            id="operator",
        ),
        pytest.param({}, {}, {"lo": ["127.0.0.1"]}, (("lo", "127.0.0.1", 1000),), id="loopback-only"),
        pytest.param({}, {}, {}, (), id="nothing"),
    ],
)
def test_network(
    tmp_path: Path,
    files: dict[str, str],
    overrides: dict[str, Any],
    addresses: dict[str, list[str]],
    networks: tuple[tuple[str, str, int], ...],
) -> None:
    found = NetworkProbe(addresses=lambda: addresses).probe(_machine(tmp_path, files, **overrides))
    assert found.resources.networks == networks
    assert found.attributes.get("unique.network.ip-address") == (networks[0][1] if networks else None)


def test_an_interface_without_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="eth2.*usable: docker0, eth0, eth1, lo"):
        NetworkProbe(addresses=lambda: ADDRESSES).probe(_machine(tmp_path, {}, network_interface="eth2"))


def test_default_routes_by_metric_then_ipv6(tmp_path: Path) -> None:
    tree(tmp_path, {"proc/net/route": ROUTES, "proc/net/ipv6_route": ROUTES6})
    assert default_devices(tmp_path / "proc/net") == ["eth1", "wlan0", "eth6"]


def test_addresses_in_order_of_use() -> None:
    assert ordered(["fe80::1", "2001:db8::1", "nonsense", "169.254.0.1", "10.0.0.1"]) == [
        "10.0.0.1",
        "2001:db8::1",
        "169.254.0.1",
        "fe80::1",
    ]


def test_host(tmp_path: Path) -> None:
    context = tree(
        tmp_path,
        {
            "proc/sys/kernel/ostype": "Linux\n",
            "proc/sys/kernel/osrelease": "6.1.0-13-amd64\n",
            "proc/sys/kernel/hostname": "box\n",
            "etc/os-release": 'ID=debian\nVERSION_ID="12"\n# comment\nBROKEN="\n',
        },
    )
    found = HostProbe(landlock=lambda: 3).probe(context).attributes
    assert found | {"kernel.arch": ""} == {
        "kernel.name": "linux",
        "kernel.version": "6.1.0-13-amd64",
        "kernel.arch": "",
        "kernel.landlock": "v3",
        "os.name": "debian",
        "os.version": "12",
        "unique.hostname": "box",
    }
    assert "kernel.landlock" not in HostProbe(landlock=lambda: 0).probe(context).attributes


def test_release_files_are_shell_words() -> None:
    assert os_release("ID='opensuse leap'\nEMPTY=\nNAME=a b\n") == {
        "ID": "opensuse leap",
        "EMPTY": "",
        "NAME": "a",
    }


@pytest.mark.parametrize(
    ("files", "version"),
    [
        ({"sys/fs/cgroup/cgroup.controllers": "cpu memory pids\n"}, "2"),
        ({"sys/fs/cgroup/memory/cgroup.procs": "1\n", "sys/fs/cgroup/unified/cgroup.procs": ""}, "1"),
        ({"sys/fs/cgroup/cgroup.controllers": "\n", "sys/fs/cgroup/cpu/cgroup.procs": ""}, "1"),
        ({}, None),
    ],
)
def test_cgroups(tmp_path: Path, files: dict[str, str], version: str | None) -> None:
    assert CgroupProbe().probe(tree(tmp_path, files)).attributes.get("os.cgroups.version") == version


def test_signals(tmp_path: Path) -> None:
    names = SignalProbe().probe(tree(tmp_path, {})).attributes["os.signals"].split(",")
    assert {"SIGTERM", "SIGHUP", "SIGKILL"} <= set(names)
    assert not any(name.startswith("SIGRT") for name in names)


def test_this_machine(tmp_path: Path) -> None:
    attributes: dict[str, str] = {}
    for kind in encamp_fingerprinters():
        attributes |= kind().probe(ProbeContext(data_dir=tmp_path)).attributes
    assert attributes["kernel.name"] == "linux"
    assert attributes["cpu.numcores"] == str(len(os.sched_getaffinity(0)))
    assert int(attributes["memory.totalbytes"]) == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert attributes["unique.hostname"] == os.uname().nodename
    assert all(isinstance(value, str) and value for value in attributes.values())
