"""Makes the engine's create request of a task: the whole driver's knowledge of container settings.

Theory: one task is one container whose name comes from the task's id, so that a start repeated after a
crash finds what the first one made. Labels name the owner (node, allocation, task), so that orphans can
be found. The labels are our own: a Nomad agent on the same engine removes containers with its labels that
it does not know.
Pure: task in, JSON body of `POST /containers/create` out. Source: Docker Engine API 1.41.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any, Final

from plugins.docker_driver.config import DockerConfig, ulimit_pair
from plugins.docker_driver.mounts import (
    ALLOC_PATH,
    LOCAL_PATH,
    SECRETS_PATH,
    Resolve,
    task_mounts,
)
from plugins.docker_driver.permissions import capabilities, check_privileges, refuse
from plugins.docker_driver.settings import DockerSettings
from plugins.driver import DriverError, Limits, TaskConfig

LABEL_TASK: Final = "encamp.task_id"
LABEL_ALLOC: Final = "encamp.alloc_id"
LABEL_NODE: Final = "encamp.node_id"
MIB: Final = 2**20
#: the engine refuses less.
MIN_MEMORY_MB: Final = 6
MIN_CPU_SHARES: Final = 2
MAX_CPU_SHARES: Final = 262_144
MIN_QUOTA_US: Final = 1_000
_ODD: Final = re.compile(r"[^a-zA-Z0-9_.-]+")
#: paths in the container that replace the host's in the task's environment.
_ENV_PATHS: Final = {
    "NOMAD_ALLOC_DIR": ALLOC_PATH,
    "NOMAD_TASK_DIR": LOCAL_PATH,
    "NOMAD_SECRETS_DIR": SECRETS_PATH,
}


def container_name(task_id: str) -> str:
    """A name that the engine takes, one to one with the task id `ALLOC/TASK/ATTEMPT`."""
    alloc, _, rest = task_id.partition("/")
    name, _, attempt = rest.rpartition("/")
    plain = _ODD.sub("-", f"{name}-{alloc}-{attempt}").lstrip("_.-")[:100]
    digest = hashlib.sha256(task_id.encode()).hexdigest()[:8]
    return f"{plain}-{digest}" if plain else f"task-{digest}"


def create_body(
    task: TaskConfig,
    config: DockerConfig,
    settings: DockerSettings,
    *,
    image: str,
    node_id: str,
    node_name: str = "",
    cpu_count: int = 1,
    resolve: Resolve = os.path.realpath,
) -> dict[str, Any]:
    """The create request. `image`: name or id that exists. Raises DriverError for what is not allowed."""
    check_privileges(config, settings)
    mode = network_mode(task, config)
    exposed, bindings = published_ports(task, config, mode)
    body: dict[str, Any] = {
        "Image": image,
        "Env": [f"{key}={value}" for key, value in sorted(_environment(task, config).items())],
        "Labels": _labels(task, config, settings, node_id, node_name),
        "Tty": config.tty,
        "OpenStdin": config.interactive,
        "StdinOnce": False,
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "ExposedPorts": exposed,
        "HostConfig": _host_config(task, config, settings, mode, bindings, cpu_count, resolve),
    }
    for key, value in (
        ("User", task.user),
        ("WorkingDir", config.work_dir),
        ("Hostname", config.hostname),
        ("MacAddress", config.mac_address),
        ("Entrypoint", config.entrypoint),
        ("Cmd", _command(config)),
    ):
        if value:
            body[key] = value
    if config.healthchecks is not None and config.healthchecks.disable:
        body["Healthcheck"] = {"Test": ["NONE"]}
    endpoint = _endpoint(config)
    if endpoint:
        if mode in ("bridge", "default", "host", "none") or mode.startswith("container:"):
            raise DriverError(
                f"network_aliases, ipv4_address and ipv6_address need a network of your own, not network_mode {mode!r}"
            )
        body["NetworkingConfig"] = {"EndpointsConfig": {mode: endpoint}}
    return body


def _command(config: DockerConfig) -> list[str]:
    return [config.command, *config.args] if config.command else list(config.args)


def network_mode(task: TaskConfig, config: DockerConfig) -> str:
    """The container's network: the task's own wish, none if the group has none, else the engine's bridge."""
    if config.network_mode:
        return config.network_mode
    return "none" if task.network_mode == "none" else "bridge"


def published_ports(
    task: TaskConfig, config: DockerConfig, mode: str
) -> tuple[dict[str, Any], dict[str, list[dict[str, str]]]]:
    """ExposedPorts and PortBindings: `ports` names labels, `port_map` maps labels to ports of the container."""
    wanted: dict[str, int] = dict.fromkeys(config.ports, 0) | config.port_map
    known = {port.label: port for port in task.ports}
    exposed: dict[str, Any] = {}
    bindings: dict[str, list[dict[str, str]]] = {}
    for label, inside in wanted.items():
        port = known.get(label)
        if port is None:
            names = ", ".join(sorted(known)) or "none"
            raise DriverError(
                f'port {label!r} is not in the network block (labels there: {names}); add `port "{label}" {{}}`'
            )
        if mode in ("host", "none") or mode.startswith("container:"):
            continue
        number = inside or port.to or port.value
        for protocol in ("tcp", "udp"):
            key = f"{number}/{protocol}"
            exposed[key] = {}
            bindings.setdefault(key, []).append({"HostIp": port.host_ip, "HostPort": str(port.value)})
    return exposed, bindings


def _environment(task: TaskConfig, config: DockerConfig) -> dict[str, str]:
    """The task's environment with the container's paths and, for port_map, the container's ports."""
    env = dict(task.env)
    for key, path in _ENV_PATHS.items():
        if key in env:
            env[key] = path
    for label, port in config.port_map.items():
        env[f"NOMAD_PORT_{label}"] = str(port)
    return env


def _labels(
    task: TaskConfig, config: DockerConfig, settings: DockerSettings, node_id: str, node_name: str
) -> dict[str, str]:
    extra = {
        "job_name": task.job_id,
        "job_id": task.job_id,
        "task_group_name": task.group,
        "task_name": task.task,
        "namespace": task.namespace,
        "node_name": node_name,
        "node_id": node_id,
        "short_alloc_id": task.alloc_id[:8],
    }
    wanted = extra if "*" in settings.extra_labels else settings.extra_labels
    return {
        **config.labels,
        **{f"encamp.{key}": extra[key] for key in wanted},
        LABEL_ALLOC: task.alloc_id,
        LABEL_NODE: node_id,
        LABEL_TASK: task.id,
    }


def _endpoint(config: DockerConfig) -> dict[str, Any]:
    endpoint: dict[str, Any] = {}
    if config.network_aliases:
        endpoint["Aliases"] = list(config.network_aliases)
    addresses = {"IPv4Address": config.ipv4_address, "IPv6Address": config.ipv6_address}
    addresses = {key: value for key, value in addresses.items() if value}
    if addresses:
        endpoint["IPAMConfig"] = addresses
    return endpoint


def _host_config(
    task: TaskConfig,
    config: DockerConfig,
    settings: DockerSettings,
    mode: str,
    bindings: dict[str, list[dict[str, str]]],
    cpu_count: int,
    resolve: Resolve,
) -> dict[str, Any]:
    mounts, binds = task_mounts(task, config, settings, resolve)
    host: dict[str, Any] = {
        "Mounts": mounts,
        "Binds": binds,
        "NetworkMode": mode,
        "PortBindings": bindings,
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,
        "Privileged": config.privileged,
        "LogConfig": _log_config(config, settings),
        "OomScoreAdj": config.oom_score_adj or settings.oom_score_adj,
        **_resources(task.limits, config, settings, cpu_count),
    }
    if not config.privileged:
        host["CapAdd"], host["CapDrop"] = capabilities(config, settings)
    if config.volume_driver:
        host["VolumeDriver"] = config.volume_driver
    for key, value in (
        ("Init", config.init or None),
        ("ReadonlyRootfs", config.readonly_rootfs or None),
        ("ExtraHosts", config.extra_hosts),
        ("Dns", config.dns_servers),
        ("DnsSearch", config.dns_search_domains),
        ("DnsOptions", config.dns_options),
        ("GroupAdd", config.group_add),
        ("SecurityOpt", config.security_opt),
        ("Sysctls", config.sysctl),
        ("StorageOpt", config.storage_opt),
        ("ShmSize", config.shm_size),
        ("Runtime", config.runtime),
        ("CgroupnsMode", config.cgroupns),
        ("IpcMode", config.ipc_mode),
        ("PidMode", config.pid_mode),
        ("UTSMode", config.uts_mode),
        ("UsernsMode", config.userns_mode),
    ):
        if value:
            host[key] = value
    if config.ulimit:
        host["Ulimits"] = [_ulimit(name, text) for name, text in sorted(config.ulimit.items())]
    if config.devices:
        host["Devices"] = [
            {
                "PathOnHost": device.host_path,
                "PathInContainer": device.container_path or device.host_path,
                "CgroupPermissions": device.cgroup_permissions or "rwm",
            }
            for device in config.devices
        ]
    return host


def _ulimit(name: str, text: str) -> dict[str, Any]:
    soft, hard = ulimit_pair(text)
    return {"Name": name, "Soft": soft, "Hard": hard}


def _log_config(config: DockerConfig, settings: DockerSettings) -> dict[str, Any]:
    """The task's logging block, else the operator's; options go with the type that they were given for."""
    block = config.logging
    kind = (block.type or block.driver) if block is not None else ""
    if not kind and not (block is not None and block.config):
        return {"Type": settings.logging.type, "Config": dict(settings.logging.config)}
    assert block is not None
    return {"Type": kind or settings.logging.type, "Config": dict(block.config)}


def _resources(
    limits: Limits, config: DockerConfig, settings: DockerSettings, cpu_count: int
) -> dict[str, Any]:
    """Shares, quota, pinned cores, memory without swap, number of processes."""
    soft_mb = max(limits.memory_mb, MIN_MEMORY_MB)
    hard_mb = config.memory_hard_limit or limits.memory_max_mb or soft_mb
    resources: dict[str, Any] = {"CpuShares": min(max(limits.cpu_mhz, MIN_CPU_SHARES), MAX_CPU_SHARES)}
    if hard_mb < 0:
        resources["MemoryReservation"] = soft_mb * MIB
    else:
        hard_mb = max(hard_mb, soft_mb)
        resources |= {"Memory": hard_mb * MIB, "MemorySwap": hard_mb * MIB}
        if hard_mb > soft_mb:
            resources["MemoryReservation"] = soft_mb * MIB
    if config.cpuset_cpus or limits.cores:
        resources["CpusetCpus"] = config.cpuset_cpus or ",".join(map(str, limits.cores))
    if config.cpu_hard_limit:
        if limits.cpu_total_mhz <= 0:
            raise DriverError(
                "cpu_hard_limit: the node's total of MHz is unknown, so no quota can be computed"
            )
        share = limits.cpu_mhz / limits.cpu_total_mhz
        resources["CpuPeriod"] = config.cpu_cfs_period
        resources["CpuQuota"] = max(int(share * cpu_count * config.cpu_cfs_period), MIN_QUOTA_US)
    pids = config.pids_limit or settings.pids_limit
    if settings.pids_limit and pids > settings.pids_limit:
        raise refuse(f"pids_limit = {pids} is above this node's {settings.pids_limit}", "a higher pids_limit")
    if pids:
        resources["PidsLimit"] = pids
    return resources
