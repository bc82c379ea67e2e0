"""The keys of a docker task's `config` block, as structs, with the rules that need no engine.

Theory: decoded by plugins.configblock, which takes blocks as maps or lists of maps and reports every
error with its path. A key of Nomad's driver that encamp does not act on is refused by name, never
ignored.
Pure. Source: spec/nomad-surface.md A5.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from plugins.configblock import Problems, is_interpolated
from plugins.docker_driver.units import duration_s, size_bytes


class _Block(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all blocks: frozen, no unknown keys."""


class BindOptions(_Block, frozen=True, kw_only=True):
    """`bind_options` of a mount."""

    propagation: str = ""


class VolumeDriver(_Block, frozen=True, kw_only=True):
    """`driver_config` of a volume mount."""

    name: str = ""
    options: dict[str, str] = {}


class VolumeOptions(_Block, frozen=True, kw_only=True):
    """`volume_options` of a mount."""

    no_copy: bool = False
    labels: dict[str, str] = {}
    driver_config: VolumeDriver | None = None


class TmpfsOptions(_Block, frozen=True, kw_only=True):
    """`tmpfs_options` of a mount. `size` in bytes, `mode` as a decimal number, as Nomad has them."""

    size: int = 0
    mode: int = 0


class MountBlock(_Block, frozen=True, kw_only=True):
    """A `mount` block. `type`: volume (default), bind or tmpfs."""

    target: str
    type: str = "volume"
    source: str = ""
    readonly: bool = False
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    tmpfs_options: TmpfsOptions | None = None

    def problems(self) -> Problems:
        """Options that do not go with the type."""
        found: Problems = []
        if is_interpolated(self.type):
            return found
        if self.type not in ("volume", "bind", "tmpfs"):
            return [("type", f'expected "volume", "bind" or "tmpfs", found {self.type!r}')]
        if self.type == "bind" and not self.source:
            found.append(("source", "is required for a bind mount"))
        if self.type == "tmpfs" and self.source:
            found.append(("source", "has no meaning for a tmpfs mount"))
        for kind in ("bind", "volume", "tmpfs"):
            if kind != self.type and getattr(self, f"{kind}_options") is not None:
                found.append((f"{kind}_options", f"does not go with type = {self.type!r}"))
        if not self.target.startswith("/") and not is_interpolated(self.target):
            found.append(("target", f"expected an absolute path in the container, found {self.target!r}"))
        return found


class AuthBlock(_Block, frozen=True, kw_only=True):
    """Credentials for the image's registry."""

    username: str = ""
    password: str = ""
    email: str = ""
    server_address: str = ""


class LoggingBlock(_Block, frozen=True, kw_only=True):
    """The engine's own log driver. `type` and `driver` mean the same."""

    type: str = ""
    driver: str = ""
    config: dict[str, str] = {}

    def problems(self) -> Problems:
        """Both names given and different."""
        if self.type and self.driver and self.type != self.driver:
            return [("driver", f"contradicts type = {self.type!r}; give one of them")]
        return []


class Device(_Block, frozen=True, kw_only=True):
    """A host device shown to the container."""

    host_path: str
    container_path: str = ""
    cgroup_permissions: str = "rwm"

    def problems(self) -> Problems:
        """Letters that are no device permission."""
        if is_interpolated(self.cgroup_permissions) or set(self.cgroup_permissions) <= set("rwm"):
            return []
        return [("cgroup_permissions", f'expected letters of "rwm", found {self.cgroup_permissions!r}')]


class HealthChecks(_Block, frozen=True, kw_only=True):
    """Whether the image's own HEALTHCHECK runs."""

    disable: bool = False


class DockerConfig(_Block, frozen=True, kw_only=True):
    """The `config` block of a docker task."""

    unsupported_keys: ClassVar[dict[str, str]] = {
        "advertise_ipv6_address": "services are advertised with the node's address",
        "isolation": "it exists on Windows only",
    }

    image: str
    command: str = ""
    args: list[str] = []
    entrypoint: list[str] | None = None
    ports: list[str] = []
    port_map: dict[str, int] = {}
    volumes: list[str] = []
    volume_driver: str = ""
    mount: list[MountBlock] = []
    mounts: list[MountBlock] = []
    network_mode: str = ""
    network_aliases: list[str] = []
    ipv4_address: str = ""
    ipv6_address: str = ""
    mac_address: str = ""
    hostname: str = ""
    extra_hosts: list[str] = []
    dns_servers: list[str] = []
    dns_search_domains: list[str] = []
    dns_options: list[str] = []
    labels: dict[str, str] = {}
    logging: LoggingBlock | None = None
    auth: AuthBlock | None = None
    auth_soft_fail: bool = False
    force_pull: bool = False
    image_pull_timeout: str = ""
    load: str = ""
    work_dir: str = ""
    tty: bool = False
    interactive: bool = False
    init: bool = False
    privileged: bool = False
    cap_add: list[str] = []
    cap_drop: list[str] = []
    security_opt: list[str] = []
    readonly_rootfs: bool = False
    group_add: list[str] = []
    cpu_hard_limit: bool = False
    cpu_cfs_period: int = 100_000
    cpuset_cpus: str = ""
    #: MiB, above the reservation in `resources`; 0: the task's own limit.
    memory_hard_limit: int = 0
    pids_limit: int = 0
    oom_score_adj: int = 0
    #: bytes.
    shm_size: int = 0
    storage_opt: dict[str, str] = {}
    sysctl: dict[str, str] = {}
    ulimit: dict[str, str] = {}
    devices: list[Device] = []
    runtime: str = ""
    cgroupns: str = ""
    ipc_mode: str = ""
    pid_mode: str = ""
    uts_mode: str = ""
    userns_mode: str = ""
    healthchecks: HealthChecks | None = None
    container_exists_attempts: int = 0

    def problems(self) -> Problems:
        """Rules between keys, and values that no engine would take."""
        found: Problems = []
        if not self.image:
            found.append(("image", "must not be empty"))
        if "://" in self.image and not is_interpolated(self.image):
            found.append(("image", f'expected a name such as "redis:7", not an address: {self.image!r}'))
        if self.ports and self.port_map:
            found.append(("port_map", "cannot be combined with ports; set `to` in the network block"))
        for label, port in self.port_map.items():
            if not 0 <= port <= 65535:
                found.append((f"port_map.{label}", f"expected a port from 1 to 65535, found {port}"))
        if self.image_pull_timeout and not is_interpolated(self.image_pull_timeout):
            found += _checked("image_pull_timeout", self.image_pull_timeout, duration_s)
        for key in ("pids_limit", "memory_hard_limit", "shm_size", "container_exists_attempts"):
            if getattr(self, key) < 0:
                found.append((key, f"must not be negative, found {getattr(self, key)}"))
        if not 1_000 <= self.cpu_cfs_period <= 1_000_000:
            found.append(
                ("cpu_cfs_period", f"expected 1000 to 1000000 microseconds, found {self.cpu_cfs_period}")
            )
        if not -1000 <= self.oom_score_adj <= 1000:
            found.append(("oom_score_adj", f"expected -1000 to 1000, found {self.oom_score_adj}"))
        return found + self._list_problems()

    def _list_problems(self) -> Problems:
        """Entries of lists and maps that cannot be read."""
        found: Problems = []
        for index, volume in enumerate(self.volumes):
            if not is_interpolated(volume) and not 2 <= len(volume.split(":")) <= 3:
                problem = f'expected "host:container[:options]", found {volume!r}'
                found.append((f"volumes[{index}]", problem))
        for name, limit in self.ulimit.items():
            if not is_interpolated(limit):
                found += _checked(f"ulimit.{name}", limit, ulimit_pair)
        for index, host in enumerate(self.extra_hosts):
            if ":" not in host and not is_interpolated(host):
                found.append((f"extra_hosts[{index}]", f'expected "name:address", found {host!r}'))
        if self.storage_opt.get("size") and not is_interpolated(self.storage_opt["size"]):
            found += _checked("storage_opt.size", self.storage_opt["size"], size_bytes)
        if self.cgroupns not in ("", "host", "private") and not is_interpolated(self.cgroupns):
            found.append(("cgroupns", f'expected "host" or "private", found {self.cgroupns!r}'))
        return found


def ulimit_pair(text: str) -> tuple[int, int]:
    """Soft and hard limit of `1024` or `1024:2048`. Raises ValueError."""
    soft, _, hard = text.partition(":")
    try:
        return int(soft), int(hard or soft)
    except ValueError:
        raise ValueError(f'expected "SOFT" or "SOFT:HARD" numbers, found {text!r}') from None


def _checked(path: str, text: str, read: object) -> Problems:
    """The problem of a text that its reader refuses."""
    assert callable(read)
    try:
        read(text)
    except ValueError as error:
        return [(path, str(error))]
    return []
