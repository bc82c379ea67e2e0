"""The create request of a container, key by key: config in, the engine's JSON out; what is refused and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from plugins.configblock import decode
from plugins.docker_driver.config import DockerConfig
from plugins.docker_driver.create import container_name, create_body
from plugins.docker_driver.settings import DEFAULT_CAPS, DockerSettings
from plugins.driver import ConfigError, DriverError, Limits, LogConfig, Mount, PortMapping, TaskConfig

TASK = TaskConfig(
    id="11111111-2222-3333-4444-555555555555/web/1",
    alloc_id="11111111-2222-3333-4444-555555555555",
    alloc_name="job.group[0]",
    job_id="job",
    namespace="default",
    group="group",
    task="web",
    env={"NOMAD_ALLOC_DIR": "/host/alloc", "NOMAD_PORT_db": "25000", "B": "2"},
    ports=(
        PortMapping(label="db", value=25000),
        PortMapping(label="http", value=25001, to=80, host_ip="10.0.0.1"),
    ),
    alloc_dir="/data/alloc/A/alloc",
    task_dir="/data/alloc/A/web",
    limits=Limits(cpu_mhz=500, cpu_total_mhz=4000, memory_mb=256),
    logs=LogConfig(dir="/data/alloc/A/alloc/logs"),
)


def same(path: str) -> str:
    return path


def body(config: dict[str, Any], settings: dict[str, Any] | None = None, **task: Any) -> dict[str, Any]:
    """The request for a config block."""
    return create_body(
        msgspec.structs.replace(TASK, **task),
        decode(DockerConfig, {"image": "a", **config}),
        decode(DockerSettings, settings or {}),
        image="sha256:1",
        node_id="node",
        node_name="n1",
        cpu_count=4,
        resolve=task.get("resolve", same),
    )


def dig(value: Any, path: str) -> Any:
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else value
    return value


VOLUMES = {"volumes": {"enabled": True}}
PRIVILEGED = {"allow_privileged": True}


@pytest.mark.parametrize(
    ("config", "settings", "path", "expected"),
    [
        ({}, {}, "Image", "sha256:1"),
        ({"command": "run", "args": ["a", "b"]}, {}, "Cmd", ["run", "a", "b"]),
        ({"args": ["a"]}, {}, "Cmd", ["a"]),
        ({}, {}, "Cmd", None),
        ({"entrypoint": ["sh", "-c"]}, {}, "Entrypoint", ["sh", "-c"]),
        ({"work_dir": "/w"}, {}, "WorkingDir", "/w"),
        ({"hostname": "h"}, {}, "Hostname", "h"),
        ({"mac_address": "02:68:b3:29:da:98"}, {}, "MacAddress", "02:68:b3:29:da:98"),
        ({"tty": True}, {}, "Tty", True),
        ({"interactive": True}, {}, "OpenStdin", True),
        ({"healthchecks": {"disable": True}}, {}, "Healthcheck", {"Test": ["NONE"]}),
        ({"init": True}, {}, "HostConfig.Init", True),
        ({"readonly_rootfs": True}, {}, "HostConfig.ReadonlyRootfs", True),
        ({"extra_hosts": ["a:1.2.3.4"]}, {}, "HostConfig.ExtraHosts", ["a:1.2.3.4"]),
        ({"dns_servers": ["1.1.1.1"]}, {}, "HostConfig.Dns", ["1.1.1.1"]),
        ({"dns_search_domains": ["x.y"]}, {}, "HostConfig.DnsSearch", ["x.y"]),
        ({"dns_options": ["ndots:1"]}, {}, "HostConfig.DnsOptions", ["ndots:1"]),
        ({"group_add": ["10"]}, {}, "HostConfig.GroupAdd", ["10"]),
        ({"security_opt": ["no-new-privileges"]}, {}, "HostConfig.SecurityOpt", ["no-new-privileges"]),
        ({"sysctl": [{"net.core.somaxconn": 16384}]}, {}, "HostConfig.Sysctls", {"net.core.somaxconn": "16384"}),
        ({"storage_opt": {"size": "40G"}}, {}, "HostConfig.StorageOpt", {"size": "40G"}),
        ({"shm_size": 134217728}, {}, "HostConfig.ShmSize", 134217728),
        (
            {"ulimit": {"nproc": "4242", "nofile": "2048:4096"}},
            {},
            "HostConfig.Ulimits",
            [
                {"Name": "nofile", "Soft": 2048, "Hard": 4096},
                {"Name": "nproc", "Soft": 4242, "Hard": 4242},
            ],
        ),
        ({"network_mode": "host"}, {}, "HostConfig.NetworkMode", "host"),
        ({}, {}, "HostConfig.NetworkMode", "bridge"),
        ({"ipc_mode": "none"}, {}, "HostConfig.IpcMode", "none"),
        ({"pid_mode": "host"}, {"allowed_modes": {"pid": ["host"]}}, "HostConfig.PidMode", "host"),
        ({"uts_mode": "host"}, PRIVILEGED, "HostConfig.UTSMode", "host"),
        ({"userns_mode": "host"}, PRIVILEGED, "HostConfig.UsernsMode", "host"),
        ({"cgroupns": "private"}, {}, "HostConfig.CgroupnsMode", "private"),
        ({"runtime": "runc"}, {}, "HostConfig.Runtime", "runc"),
        ({"privileged": True}, PRIVILEGED, "HostConfig.Privileged", True),
        ({"privileged": True}, PRIVILEGED, "HostConfig.CapDrop", None),
        ({"volume_driver": "nfs"}, VOLUMES, "HostConfig.VolumeDriver", "nfs"),
        ({"oom_score_adj": 5}, {"oom_score_adj": 7}, "HostConfig.OomScoreAdj", 5),
        ({}, {"oom_score_adj": 7}, "HostConfig.OomScoreAdj", 7),
        ({"pids_limit": 10}, {"pids_limit": 20}, "HostConfig.PidsLimit", 10),
        ({}, {"pids_limit": 20}, "HostConfig.PidsLimit", 20),
        ({}, {}, "HostConfig.CpuShares", 500),
        ({"cpuset_cpus": "0-1"}, {}, "HostConfig.CpusetCpus", "0-1"),
        ({}, {}, "HostConfig.CpuQuota", None),
        # 500 of 4000 MHz on 4 cores are half a core
        ({"cpu_hard_limit": True}, {}, "HostConfig.CpuQuota", 50_000),
        ({"cpu_hard_limit": True, "cpu_cfs_period": 10_000}, {}, "HostConfig.CpuQuota", 5_000),
        ({}, {}, "HostConfig.Memory", 256 * 2**20),
        ({}, {}, "HostConfig.MemorySwap", 256 * 2**20),
        ({}, {}, "HostConfig.MemoryReservation", None),
        ({"memory_hard_limit": 512}, {}, "HostConfig.Memory", 512 * 2**20),
        ({"memory_hard_limit": 512}, {}, "HostConfig.MemoryReservation", 256 * 2**20),
        (
            {},
            {},
            "HostConfig.LogConfig",
            {"Type": "json-file", "Config": {"max-file": "2", "max-size": "2m"}},
        ),
        (
            {"logging": [{"type": "syslog", "config": [{"tag": "x"}]}]},
            {},
            "HostConfig.LogConfig",
            {"Type": "syslog", "Config": {"tag": "x"}},
        ),
        (
            {"logging": {"config": {"max-size": "9m"}}},
            {"logging": {"type": "local"}},
            "HostConfig.LogConfig",
            {"Type": "local", "Config": {"max-size": "9m"}},
        ),
        ({"labels": [{"team": "a", "n": 1}]}, {}, "Labels.n", "1"),
        ({"labels": {"encamp.node_id": "forged"}}, {}, "Labels", {
            "encamp.alloc_id": TASK.alloc_id, "encamp.node_id": "node", "encamp.task_id": TASK.id,
        }),
        (
            {},
            {"extra_labels": ["job_name", "node_name", "short_alloc_id"]},
            "Labels",
            {
                "encamp.job_name": "job",
                "encamp.node_name": "n1",
                "encamp.short_alloc_id": "11111111",
                "encamp.alloc_id": TASK.alloc_id,
                "encamp.node_id": "node",
                "encamp.task_id": TASK.id,
            },
        ),
        (
            {"devices": [{"host_path": "/dev/null"}, {"host_path": "/dev/x", "container_path": "/dev/y"}]},
            VOLUMES,
            "HostConfig.Devices",
            [
                {"PathOnHost": "/dev/null", "PathInContainer": "/dev/null", "CgroupPermissions": "rwm"},
                {"PathOnHost": "/dev/x", "PathInContainer": "/dev/y", "CgroupPermissions": "rwm"},
            ],
        ),
        (
            {"network_mode": "mine", "network_aliases": ["a"], "ipv4_address": "10.9.0.5", "ipv6_address": "fd::5"},
            {},
            "NetworkingConfig.EndpointsConfig.mine",
            {"Aliases": ["a"], "IPAMConfig": {"IPv4Address": "10.9.0.5", "IPv6Address": "fd::5"}},
        ),
    ],
)  # fmt: skip
def test_key_becomes_setting(
    config: dict[str, Any], settings: dict[str, Any], path: str, expected: Any
) -> None:
    assert dig(body(config, settings), path) == expected


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(cpu_mhz=0, memory_mb=1), {"CpuShares": 2, "Memory": 6 * 2**20}),
        (Limits(memory_mb=100, memory_max_mb=200), {"Memory": 200 * 2**20, "MemoryReservation": 100 * 2**20}),
        (Limits(memory_mb=100, memory_max_mb=-1), {"Memory": None, "MemoryReservation": 100 * 2**20}),
        (Limits(cores=(1, 3)), {"CpusetCpus": "1,3"}),
    ],
)
def test_limits(limits: Limits, expected: dict[str, Any]) -> None:
    host = body({}, limits=limits)["HostConfig"]
    assert {key: host.get(key) for key in expected} == expected


def test_ports() -> None:
    made = body({"ports": ["db", "http"]})
    assert made["HostConfig"]["PortBindings"] == {
        "25000/tcp": [{"HostIp": "", "HostPort": "25000"}],
        "25000/udp": [{"HostIp": "", "HostPort": "25000"}],
        "80/tcp": [{"HostIp": "10.0.0.1", "HostPort": "25001"}],
        "80/udp": [{"HostIp": "10.0.0.1", "HostPort": "25001"}],
    }
    assert set(made["ExposedPorts"]) == {"25000/tcp", "25000/udp", "80/tcp", "80/udp"}


@pytest.mark.parametrize("shape", [{"db": 6379}, [{"db": 6379}], [{"db": "6379"}]])
def test_legacy_port_map(shape: Any) -> None:
    made = body({"port_map": shape})
    assert made["HostConfig"]["PortBindings"]["6379/tcp"] == [{"HostIp": "", "HostPort": "25000"}]
    assert "NOMAD_PORT_db=6379" in made["Env"]


@pytest.mark.parametrize("mode", ["host", "none", "container:x"])
def test_no_bindings_without_a_network_of_its_own(mode: str) -> None:
    assert body({"ports": ["db"], "network_mode": mode})["HostConfig"]["PortBindings"] == {}


def test_a_group_without_network_means_none() -> None:
    assert body({}, network_mode="none")["HostConfig"]["NetworkMode"] == "none"


def test_environment_has_the_containers_paths() -> None:
    assert body({})["Env"] == ["B=2", "NOMAD_ALLOC_DIR=/alloc", "NOMAD_PORT_db=25000"]


def test_the_tasks_directories_and_the_nodes_mounts() -> None:
    mounts = body(
        {}, mounts=(Mount(host_path="/srv", task_path="/data", read_only=True, propagation="host-to-task"),)
    )["HostConfig"]["Mounts"]
    assert [(mount["Source"], mount["Target"], mount["ReadOnly"]) for mount in mounts] == [
        ("/data/alloc/A/alloc", "/alloc", False),
        ("/data/alloc/A/web/local", "/local", False),
        ("/data/alloc/A/web/secrets", "/secrets", False),
        ("/srv", "/data", True),
    ]
    assert mounts[3]["BindOptions"] == {"Propagation": "rslave"}


@pytest.mark.parametrize(
    ("config", "settings", "expected"),
    [
        ({"volumes": ["local/x:/x"]}, {}, ["/data/alloc/A/web/local/x:/x"]),
        ({"volumes": ["../alloc/data:/x:ro"]}, {}, ["/data/alloc/A/alloc/data:/x:ro"]),
        ({"volumes": ["/etc:/x:ro"]}, VOLUMES, ["/etc:/x:ro"]),
        ({"volumes": ["/etc:/x"]}, {"volumes": {"enabled": True, "selinuxlabel": "z"}}, ["/etc:/x:z"]),
        ({"volumes": ["name:/x"], "volume_driver": "nfs"}, VOLUMES, ["name:/x"]),
    ],
)
def test_volumes(config: dict[str, Any], settings: dict[str, Any], expected: list[str]) -> None:
    assert body(config, settings)["HostConfig"]["Binds"] == expected


@pytest.mark.parametrize(
    ("block", "settings", "expected"),
    [
        (
            {"type": "bind", "source": "local/a", "target": "/a", "readonly": True},
            {},
            {
                "Type": "bind",
                "Source": "/data/alloc/A/web/local/a",
                "Target": "/a",
                "ReadOnly": True,
                "BindOptions": {"Propagation": "rprivate"},
            },
        ),
        (
            {"type": "tmpfs", "target": "/t", "tmpfs_options": [{"size": 1000, "mode": 511}]},
            {},
            {
                "Type": "tmpfs",
                "Target": "/t",
                "ReadOnly": False,
                "TmpfsOptions": {"SizeBytes": 1000, "Mode": 511},
            },
        ),
        (
            {"target": "/v", "source": "vol", "volume_options": {"no_copy": True, "labels": [{"a": "b"}]}},
            {},
            {
                "Type": "volume",
                "Source": "vol",
                "Target": "/v",
                "ReadOnly": False,
                "VolumeOptions": {"NoCopy": True, "Labels": {"a": "b"}},
            },
        ),
        (
            {"target": "/v", "volume_options": {"driver_config": {"name": "nfs", "options": {"o": "x"}}}},
            VOLUMES,
            {
                "Type": "volume",
                "Source": "",
                "Target": "/v",
                "ReadOnly": False,
                "VolumeOptions": {
                    "NoCopy": False,
                    "Labels": {},
                    "DriverConfig": {"Name": "nfs", "Options": {"o": "x"}},
                },
            },
        ),
    ],
)
@pytest.mark.parametrize("key", ["mount", "mounts"])
def test_mount_blocks(
    key: str, block: dict[str, Any], settings: dict[str, Any], expected: dict[str, Any]
) -> None:
    for shape in (block, [block]):
        assert body({key: shape}, settings)["HostConfig"]["Mounts"][-1] == expected


@pytest.mark.parametrize(
    ("config", "settings", "added", "dropped"),
    [
        ({}, {}, sorted(DEFAULT_CAPS), ["all"]),
        ({"cap_drop": ["chown", "CAP_KILL"]}, {}, sorted(set(DEFAULT_CAPS) - {"chown", "kill"}), ["all"]),
        ({"cap_drop": ["all"]}, {}, [], ["all"]),
        ({"cap_drop": ["all"], "cap_add": ["chown"]}, {}, ["chown"], ["all"]),
        ({"cap_add": ["NET_ADMIN"]}, {"allow_caps": ["net_admin", "chown"]}, ["chown", "net_admin"], ["all"]),
        ({}, {"allow_caps": ["chown"]}, ["chown"], ["all"]),
        ({"cap_add": ["all"]}, {"allow_caps": ["all"]}, ["all"], []),
        ({"cap_add": ["sys_time"]}, {"allow_caps": ["all"]}, sorted({*DEFAULT_CAPS, "sys_time"}), ["all"]),
    ],
)
def test_capabilities(
    config: dict[str, Any], settings: dict[str, Any], added: list[str], dropped: list[str]
) -> None:
    host = body(config, settings)["HostConfig"]
    assert [name.lower() for name in host["CapAdd"]] == added
    assert [name.lower() for name in host["CapDrop"]] == dropped


@pytest.mark.parametrize(
    ("config", "settings", "why"),
    [
        ({"privileged": True}, {}, "allow_privileged"),
        ({"cap_add": ["net_admin", "chown"]}, {}, "not allowed: net_admin.*allow_caps"),
        ({"cap_add": ["all"]}, {}, "not allowed: all"),
        ({"runtime": "kata"}, {}, "runtime 'kata'.*allow_runtimes"),
        ({"pid_mode": "host"}, {}, r"pid_mode = 'host'.*allowed_modes \{ pid = \[\"host\"\] \}"),
        ({"ipc_mode": "host"}, {}, "ipc_mode"),
        ({"uts_mode": "host"}, {}, "uts_mode"),
        ({"userns_mode": "host"}, {}, "userns_mode"),
        ({"cgroupns": "host"}, {}, "cgroupns"),
        ({"security_opt": ["seccomp=unconfined"]}, {}, "security_opt"),
        ({"security_opt": ["apparmor:unconfined"]}, {}, "security_opt"),
        ({"devices": [{"host_path": "/dev/sda"}]}, {}, "devices"),
        ({"volumes": ["/etc:/x"]}, {}, r"'/etc:/x'.*outside.*volumes \{ enabled = true \}"),
        ({"volumes": ["../../B/secret:/x"]}, {}, "outside of the allocation"),
        ({"volumes": ["a:/x"], "volume_driver": "nfs"}, {}, "volume_driver"),
        ({"volumes": ["local:x"]}, {}, "absolute path in the container"),
        ({"mount": {"type": "bind", "source": "/etc", "target": "/x"}}, {}, "outside of the allocation"),
        (
            {"mount": {"target": "/x", "volume_options": {"driver_config": {"name": "l"}}}},
            {},
            "driver_config",
        ),
        ({"volumes": ["local/a:/local"]}, {}, "two mounts have the same path in the container: /local"),
        ({"ports": ["nope"]}, {}, "port 'nope' is not in the network block.*db, http"),
        ({"port_map": {"nope": 1}}, {}, "port 'nope'"),
        ({"network_aliases": ["a"]}, {}, "network of your own"),
        ({"pids_limit": 100}, {"pids_limit": 50}, "above this node's 50"),
    ],
)
def test_what_is_refused(config: dict[str, Any], settings: dict[str, Any], why: str) -> None:
    with pytest.raises(DriverError, match=why) as caught:
        body(config, settings)
    assert not caught.value.recoverable


def test_a_planted_link_does_not_lead_out(tmp_path: Path) -> None:
    alloc = tmp_path / "A"
    (alloc / "web/local").mkdir(parents=True)
    (alloc / "web/local/out").symlink_to("/etc")
    (alloc / "web/local/in").symlink_to("../local")
    task = msgspec.structs.replace(TASK, task_dir=str(alloc / "web"), alloc_dir=str(alloc / "alloc"))

    def made(volume: str) -> list[str]:
        config = decode(DockerConfig, {"image": "a", "volumes": [volume]})
        request = create_body(task, config, DockerSettings(), image="a", node_id="n")
        binds: list[str] = request["HostConfig"]["Binds"]
        return binds

    assert made("local/in:/x") == [f"{alloc}/web/local:/x"]
    with pytest.raises(DriverError, match="outside"):
        made("local/out:/x")


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"image": ""}, "image"),
        ({"image": "https://hub/x"}, "image"),
        ({"ports": ["a"], "port_map": {"a": 1}}, "port_map"),
        ({"port_map": {"a": 70000}}, "port_map.a"),
        ({"image_pull_timeout": "soon"}, "image_pull_timeout"),
        ({"volumes": ["/x"]}, "volumes[0]"),
        ({"ulimit": {"nofile": "many"}}, "ulimit.nofile"),
        ({"extra_hosts": ["x"]}, "extra_hosts[0]"),
        ({"cpu_cfs_period": 10}, "cpu_cfs_period"),
        ({"oom_score_adj": 2000}, "oom_score_adj"),
        ({"pids_limit": -1}, "pids_limit"),
        ({"cgroupns": "x"}, "cgroupns"),
        ({"mount": {"type": "nfs", "target": "/x"}}, "mount[0].type"),
        ({"mount": {"type": "bind", "target": "/x"}}, "mount[0].source"),
        ({"mount": {"target": "x"}}, "mount[0].target"),
        ({"mount": {"target": "/x", "tmpfs_options": {"size": 1}}}, "mount[0].tmpfs_options"),
        ({"devices": {"host_path": "/dev/x", "cgroup_permissions": "rx"}}, "devices[0].cgroup_permissions"),
        ({"logging": {"type": "a", "driver": "b"}}, "logging.driver"),
        ({"isolation": "hyperv"}, "isolation"),
        ({"advertise_ipv6_address": True}, "advertise_ipv6_address"),
        ({"auth": [{"user": "x"}]}, "auth.user"),
    ],
)
def test_config_errors_name_their_place(config: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        decode(DockerConfig, {"image": "a", **config})
    assert [found for found, _ in caught.value.problems] == [path]


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"endpoint": "ssh://x"}, "endpoint"),
        ({"gc": {"image_delay": "x"}}, "gc.image_delay"),
        ({"gc": [{"dangling_containers": [{"period": "0"}]}]}, "gc.dangling_containers.period"),
        ({"extra_labels": ["color"]}, "extra_labels"),
        ({"auth": {"helper": "/bin/x"}}, "auth.helper"),
        ({"infra_image": "pause"}, "infra_image"),
        ({"image_pull_timeout": "10ms"}, "image_pull_timeout"),
    ],
)
def test_settings_errors_name_their_place(settings: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        decode(DockerSettings, settings)
    assert [found for found, _ in caught.value.problems] == [path]


def test_names_are_one_to_one_and_fit_the_engine() -> None:
    ids = [
        "A/web/1",
        "A/web/11",
        "A/web-1/1",
        "A/web/1-1",
        "A/wéb/1",
        "A/w b/1",
        "A/../1",
        f"A/{'x' * 300}/1",
    ]
    names = [container_name(task_id) for task_id in ids]
    assert len(set(names)) == len(ids)
    for name in names:
        assert 2 <= len(name) <= 128
        assert name[0].isalnum()
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
