"""The environment variables of a task: the host's, ours (NOMAD_*), and the job's own, in rising precedence. Pure.

Theory: names and meanings are Nomad's, so that images and scripts written for it run unchanged. NOMAD_PORT_x is the
port to listen on (`to`, where the port is mapped), NOMAD_ADDR_x and NOMAD_HOST_* are how others reach it. Characters
that no shell takes in a name become `_` in the environment; interpolation knows the original name too.

Source: spec/nomad-surface.md C3, A6.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from daemon.model.alloc import Allocation
from daemon.model.job import Job, Task, TaskGroup
from daemon.model.resources import AllocatedPort, AllocatedTask
from daemon.node.env.interpolate import Interpolator, NodeFacts

#: what of the agent's own environment no task may see, beside the operator's list.
DENIED_HOST_ENV = frozenset(
    {
        "CONSUL_TOKEN",
        "CONSUL_HTTP_TOKEN",
        "CONSUL_HTTP_TOKEN_FILE",
        "NOMAD_TOKEN",
        "NOMAD_LICENSE",
        "VAULT_TOKEN",
        "ATLAS_TOKEN",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "NOTIFY_SOCKET",
        "LISTEN_FDS",
        "LISTEN_PID",
    }
)
_NOT_A_NAME = re.compile(r"[^A-Za-z0-9_]")


class TaskPaths(msgspec.Struct, frozen=True, kw_only=True):
    """The three directories as the task sees them."""

    alloc_dir: str
    task_dir: str
    secrets_dir: str


#: where drivers with a file system of their own put them.
INSIDE = TaskPaths(alloc_dir="/alloc", task_dir="/local", secrets_dir="/secrets")


class EnvInput(msgspec.Struct, frozen=True, kw_only=True):
    """All that the environment of one task is made from."""

    alloc: Allocation
    job: Job
    group: TaskGroup
    task: Task
    facts: NodeFacts
    paths: TaskPaths
    host_env: dict[str, str] = {}
    #: address used for ports that name none.
    host_ip: str = "127.0.0.1"
    #: ports inside, by the task's label, where the driver's configuration maps them (`port_map`).
    driver_ports: dict[str, int] = {}


def clean(name: str) -> str:
    """A name that every shell takes."""
    return _NOT_A_NAME.sub("_", name)


def host_environment(environ: Mapping[str, str], denied: frozenset[str]) -> dict[str, str]:
    """What of the agent's environment goes on to tasks without a file system of their own."""
    return {
        name: value
        for name, value in environ.items()
        if name not in denied and name not in DENIED_HOST_ENV and not name.startswith("ENCAMP_")
    }


def task_environment(source: EnvInput) -> tuple[dict[str, str], Interpolator]:
    """The environment, and the interpolator for the rest of the task."""
    ours = {
        **_places(source),
        **_names(source),
        **_limits(source.alloc.allocated_resources.tasks.get(source.task.name, AllocatedTask())),
        **_ports(source),
    }
    known = {**source.host_env, **{clean(name): value for name, value in ours.items()}, **ours}
    meta = _meta(source, Interpolator(known, source.facts))
    known.update(meta)
    interpolator = Interpolator(known, source.facts)
    own = {name: interpolator.text(value) for name, value in source.task.env.items()}
    env = {
        **source.host_env,
        **{clean(name): value for name, value in ours.items()},
        **meta,
        **{clean(name): value for name, value in own.items()},
    }
    return env, Interpolator({**known, **own}, source.facts)


def _places(source: EnvInput) -> dict[str, str]:
    return {
        "NOMAD_ALLOC_DIR": source.paths.alloc_dir,
        "NOMAD_TASK_DIR": source.paths.task_dir,
        "NOMAD_SECRETS_DIR": source.paths.secrets_dir,
    }


def _names(source: EnvInput) -> dict[str, str]:
    alloc, job = source.alloc, source.job
    names = {
        "NOMAD_ALLOC_ID": alloc.id,
        "NOMAD_SHORT_ALLOC_ID": alloc.id[:8],
        "NOMAD_ALLOC_NAME": alloc.name,
        "NOMAD_ALLOC_INDEX": str(alloc.index),
        "NOMAD_TASK_NAME": source.task.name,
        "NOMAD_GROUP_NAME": source.group.name,
        "NOMAD_JOB_ID": job.id,
        "NOMAD_JOB_NAME": job.name or job.id,
        "NOMAD_NAMESPACE": alloc.namespace,
        "NOMAD_DC": source.facts.datacenter,
        "NOMAD_REGION": source.facts.region,
    }
    if job.parent_id:
        names["NOMAD_JOB_PARENT_ID"] = job.parent_id
    return names


def _limits(given: AllocatedTask) -> dict[str, str]:
    limits = {"NOMAD_CPU_LIMIT": str(given.cpu_shares), "NOMAD_MEMORY_LIMIT": str(given.memory_mb)}
    if given.reserved_cores:
        limits["NOMAD_CPU_CORES"] = ",".join(str(core) for core in sorted(given.reserved_cores))
    if given.memory_max_mb > given.memory_mb:
        limits["NOMAD_MEMORY_MAX_LIMIT"] = str(given.memory_max_mb)
    return limits


def _meta(source: EnvInput, interpolator: Interpolator) -> dict[str, str]:
    merged = {**source.job.meta, **source.group.meta, **source.task.meta}
    meta: dict[str, str] = {}
    for key, raw in merged.items():
        value = interpolator.text(raw)
        meta.setdefault(f"NOMAD_META_{clean(key).upper()}", value)
        meta[f"NOMAD_META_{clean(key)}"] = value
    return meta


def _ports(source: EnvInput) -> dict[str, str]:
    """NOMAD_{IP,PORT,ADDR,HOST_*,ALLOC_PORT}_label, and the _task_label forms of classic job files."""
    found: dict[str, str] = {}
    by_label = {port.label: port for port in source.alloc.allocated_resources.shared.ports}
    own = {group_label: label for label, group_label in source.task.port_labels.items()}
    for label, port in by_label.items():
        found.update(_port(source, own.get(label, label), port))
    for task in source.group.tasks:
        for label, group_label in task.port_labels.items():
            if group_label not in by_label:
                continue
            port = by_label[group_label]
            ip = _ip(source, port)
            inside = _inside(source, label, port) if task.name == source.task.name else port.value
            found[f"NOMAD_IP_{task.name}_{label}"] = ip
            found[f"NOMAD_PORT_{task.name}_{label}"] = str(inside)
            found[f"NOMAD_ADDR_{task.name}_{label}"] = _address(ip, port.value)
    return found


def _port(source: EnvInput, label: str, port: AllocatedPort) -> dict[str, str]:
    ip = _ip(source, port)
    inside = str(_inside(source, label, port))
    return {
        f"NOMAD_IP_{label}": ip,
        f"NOMAD_PORT_{label}": inside,
        f"NOMAD_ADDR_{label}": _address(ip, port.value),
        f"NOMAD_HOST_IP_{label}": ip,
        f"NOMAD_HOST_PORT_{label}": str(port.value),
        f"NOMAD_HOST_ADDR_{label}": _address(ip, port.value),
        f"NOMAD_ALLOC_PORT_{label}": inside,
    }


def _inside(source: EnvInput, label: str, port: AllocatedPort) -> int:
    return source.driver_ports.get(label) or (port.to if port.to > 0 else port.value)


def _ip(source: EnvInput, port: AllocatedPort) -> str:
    return source.host_ip if port.host_ip in ("", "0.0.0.0", "::") else port.host_ip


def _address(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
