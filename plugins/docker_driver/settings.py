"""The agent's `plugin "docker" { config { ... } }` block: what the operator allows and how the engine is
reached.

Theory: everything that reaches out of the container is off until it is allowed here: host paths,
privileged containers, capabilities beyond the default set, other runtimes.
Pure. Source: spec/nomad-surface.md A5 "docker plugin".
"""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec

from plugins.configblock import Problems
from plugins.docker_driver.units import duration_s

#: What a container gets when nobody asks for more or less: Docker's set without raw sockets.
DEFAULT_CAPS: Final = (
    "audit_write", "chown", "dac_override", "fowner", "fsetid", "kill", "mknod", "net_bind_service",
    "setfcap", "setgid", "setpcap", "setuid", "sys_chroot",
)  # fmt: skip
MIN_PERIOD_S: Final = 1.0


class _Block(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all blocks: frozen, no unknown keys."""


class AuthSettings(_Block, frozen=True, kw_only=True):
    """Where registry passwords come from: a file that `docker login` wrote, or a credential helper."""

    config: str = ""
    helper: str = ""


class TlsSettings(_Block, frozen=True, kw_only=True):
    """Files for an engine behind TLS."""

    cert: str = ""
    key: str = ""
    ca: str = ""


class LoggingSettings(_Block, frozen=True, kw_only=True):
    """The engine's log driver for tasks that name none; small files, for encamp keeps its own."""

    type: str = "json-file"
    config: dict[str, str] = msgspec.field(default_factory=lambda: {"max-file": "2", "max-size": "2m"})


class DanglingSettings(_Block, frozen=True, kw_only=True):
    """Removal of containers that carry this node's label and that nobody knows."""

    enabled: bool = True
    period: str = "5m"
    creation_grace: str = "5m"
    dry_run: bool = False


class GcSettings(_Block, frozen=True, kw_only=True):
    """What is removed after use. `image_delay`: how long an unused image stays."""

    image: bool = True
    image_delay: str = "3m"
    container: bool = True
    dangling_containers: DanglingSettings = DanglingSettings()


class VolumesSettings(_Block, frozen=True, kw_only=True):
    """Whether jobs may mount host paths."""

    enabled: bool = False
    selinuxlabel: str = ""


class AllowedModes(_Block, frozen=True, kw_only=True):
    """Namespace modes that jobs may ask for beside their own private ones."""

    pid: tuple[str, ...] = ()
    ipc: tuple[str, ...] = ("private", "shareable", "none")
    userns: tuple[str, ...] = ()
    uts: tuple[str, ...] = ()


class DockerSettings(_Block, frozen=True, kw_only=True):
    """The whole plugin block."""

    unsupported_keys: ClassVar[dict[str, str]] = {
        "infra_image": "network namespaces of allocations need no pause container here",
        "infra_image_pull_timeout": "network namespaces of allocations need no pause container here",
        "nvidia_runtime": "devices are not handed out by this version",
        "windows_allow_insecure_container_admin": "it exists on Windows only",
    }

    endpoint: str = ""
    auth: AuthSettings = AuthSettings()
    tls: TlsSettings = TlsSettings()
    extra_labels: list[str] = []
    logging: LoggingSettings = LoggingSettings()
    gc: GcSettings = GcSettings()
    volumes: VolumesSettings = VolumesSettings()
    allow_privileged: bool = False
    allow_caps: tuple[str, ...] = DEFAULT_CAPS
    allow_runtimes: tuple[str, ...] = ("runc", "nvidia")
    allowed_modes: AllowedModes = AllowedModes()
    image_pull_timeout: str = "5m"
    #: a pull without any progress for this long is given up.
    pull_activity_timeout: str = "2m"
    container_exists_attempts: int = 5
    oom_score_adj: int = 0
    pids_limit: int = 0
    disable_log_collection: bool = False

    def problems(self) -> Problems:
        """Durations that cannot be read and addresses that cannot be spoken to."""
        found: Problems = []
        dangling = self.gc.dangling_containers
        for path, text in (
            ("image_pull_timeout", self.image_pull_timeout),
            ("pull_activity_timeout", self.pull_activity_timeout),
            ("gc.image_delay", self.gc.image_delay),
            ("gc.dangling_containers.period", dangling.period),
            ("gc.dangling_containers.creation_grace", dangling.creation_grace),
        ):
            try:
                seconds = duration_s(text)
            except ValueError as error:
                found.append((path, str(error)))
            else:
                if path.endswith(("timeout", "period")) and seconds < MIN_PERIOD_S:
                    found.append((path, f"must be at least 1s, found {text!r}"))
        if self.endpoint and not self.endpoint.startswith(("unix://", "tcp://", "http://", "https://")):
            found.append(("endpoint", f"expected unix:///PATH or tcp://HOST:PORT, found {self.endpoint!r}"))
        if self.auth.helper and "/" in self.auth.helper:
            found.append(("auth.helper", f"expected the helper's short name, found {self.auth.helper!r}"))
        for label in self.extra_labels:
            if label not in EXTRA_LABELS and label != "*":
                found.append(("extra_labels", f"unknown label {label!r}; known: {', '.join(EXTRA_LABELS)}"))
        return found


EXTRA_LABELS: Final = (
    "job_name", "job_id", "task_group_name", "task_name", "namespace", "node_name",
    "node_id", "short_alloc_id",
)  # fmt: skip
