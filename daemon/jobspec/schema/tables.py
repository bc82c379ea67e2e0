"""Blocks and keys of a job file that are acted on. What is known but not acted on stands in `support`.

Source: spec/nomad-surface.md C2.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Key:
    """An attribute. `kind`: string, int, number, bool, duration, strings, map, size."""

    name: str
    kind: str
    #: only in the HTTP API's JSON.
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Child:
    """A block inside a block. `many`: may be repeated."""

    name: str
    block: BlockDef | None
    many: bool = False
    labels: int = 0


@dataclass(frozen=True, slots=True)
class BlockDef:
    """A block. `freeform` children (no definition) are read as one object."""

    name: str
    keys: tuple[Key, ...] = ()
    children: tuple[Child, ...] = ()

    def key(self, name: str) -> Key | None:
        """The attribute of that name."""
        return next((key for key in self.keys if key.name == name), None)

    def child(self, name: str) -> Child | None:
        """The inner block of that name."""
        return next((child for child in self.children if child.name == name), None)


def _keys(**kinds: str) -> tuple[Key, ...]:
    return tuple(Key(name, kind) for name, kind in kinds.items())


CONSTRAINT = BlockDef(
    "constraint",
    _keys(
        attribute="string",
        operator="string",
        value="string",
        version="string",
        semver="string",
        regexp="string",
        set_contains="string",
        distinct_hosts="bool",
        distinct_property="string",
    ),
)
AFFINITY = BlockDef(
    "affinity",
    _keys(
        attribute="string",
        operator="string",
        value="string",
        version="string",
        semver="string",
        regexp="string",
        set_contains="string",
        set_contains_all="string",
        set_contains_any="string",
        weight="int",
    ),
)
SPREAD_TARGET = BlockDef("target", _keys(percent="int"))
SPREAD = BlockDef(
    "spread",
    _keys(attribute="string", weight="int"),
    (Child("target", SPREAD_TARGET, many=True, labels=1),),
)
UPDATE = BlockDef(
    "update",
    _keys(
        max_parallel="int",
        health_check="string",
        min_healthy_time="duration",
        healthy_deadline="duration",
        progress_deadline="duration",
        auto_revert="bool",
        auto_promote="bool",
        canary="int",
    ),
)
MIGRATE = BlockDef(
    "migrate",
    _keys(
        max_parallel="int",
        health_check="string",
        min_healthy_time="duration",
        healthy_deadline="duration",
    ),
)
DISCONNECT = BlockDef(
    "disconnect",
    _keys(lost_after="duration", stop_on_client_after="duration", replace="bool", reconcile="string"),
)
SCALING = BlockDef("scaling", _keys(min="int", max="int", enabled="bool"), (Child("policy", None),))
RESCHEDULE = BlockDef(
    "reschedule",
    _keys(
        attempts="int",
        interval="duration",
        delay="duration",
        delay_function="string",
        max_delay="duration",
        unlimited="bool",
    ),
)
RESTART = BlockDef("restart", _keys(attempts="int", interval="duration", delay="duration", mode="string"))
EPHEMERAL_DISK = BlockDef("ephemeral_disk", _keys(size="int", sticky="bool"))
PORT = BlockDef("port", _keys(static="int", to="int", ignore_collision="bool", host_network="string"))
NETWORK = BlockDef("network", _keys(mode="string"), (Child("port", PORT, many=True, labels=1),))
VOLUME = BlockDef(
    "volume",
    _keys(
        type="string",
        source="string",
        read_only="bool",
        per_alloc="bool",
        sticky="bool",
        access_mode="string",
        attachment_mode="string",
    ),
)
VOLUME_MOUNT = BlockDef(
    "volume_mount",
    _keys(volume="string", destination="string", read_only="bool", propagation_mode="string"),
)
LOGS = BlockDef("logs", _keys(max_files="int", max_file_size="int", disabled="bool", rate_limit="size"))
LIFECYCLE = BlockDef("lifecycle", _keys(hook="string", sidecar="bool"))
DISPATCH_PAYLOAD = BlockDef("dispatch_payload", _keys(file="string"))
PERIODIC = BlockDef(
    "periodic",
    _keys(
        cron="string",
        crons="strings",
        enabled="bool",
        prohibit_overlap="bool",
        time_zone="string",
        missed="string",
    ),
)
PARAMETERIZED = BlockDef(
    "parameterized", _keys(payload="string", meta_required="strings", meta_optional="strings")
)
DEVICE = BlockDef(
    "device",
    _keys(count="int"),
    (Child("constraint", CONSTRAINT, many=True), Child("affinity", AFFINITY, many=True)),
)
RESOURCES = BlockDef(
    "resources",
    _keys(cpu="int", cores="int", memory="int", memory_max="int"),
    (Child("network", NETWORK, many=True), Child("device", DEVICE, many=True, labels=1)),
)
TASK = BlockDef(
    "task",
    (
        *_keys(
            driver="string",
            user="string",
            leader="bool",
            kill_timeout="duration",
            kill_signal="string",
            shutdown_delay="duration",
        ),
        Key("port_labels", "map", hidden=True),
    ),
    (
        Child("config", None),
        Child("env", None),
        Child("meta", None),
        Child("resources", RESOURCES),
        Child("constraint", CONSTRAINT, many=True),
        Child("affinity", AFFINITY, many=True),
        Child("volume_mount", VOLUME_MOUNT, many=True),
        Child("restart", RESTART),
        Child("logs", LOGS),
        Child("lifecycle", LIFECYCLE),
        Child("dispatch_payload", DISPATCH_PAYLOAD),
    ),
)
GROUP = BlockDef(
    "group",
    _keys(
        count="int",
        shutdown_delay="duration",
        max_run_duration="duration",
        max_running="int",
        max_client_disconnect="duration",
        stop_after_client_disconnect="duration",
    ),
    (
        Child("constraint", CONSTRAINT, many=True),
        Child("affinity", AFFINITY, many=True),
        Child("spread", SPREAD, many=True),
        Child("task", TASK, many=True, labels=1),
        Child("volume", VOLUME, many=True, labels=1),
        Child("network", NETWORK, many=True),
        Child("restart", RESTART),
        Child("reschedule", RESCHEDULE),
        Child("update", UPDATE),
        Child("migrate", MIGRATE),
        Child("disconnect", DISCONNECT),
        Child("scaling", SCALING),
        Child("ephemeral_disk", EPHEMERAL_DISK),
        Child("meta", None),
    ),
)
JOB = BlockDef(
    "job",
    _keys(
        region="string",
        namespace="string",
        id="string",
        name="string",
        type="string",
        priority="int",
        all_at_once="bool",
        datacenters="strings",
        node_pool="string",
        max_running="int",
    ),
    (
        Child("periodic", PERIODIC),
        Child("parameterized", PARAMETERIZED),
        Child("constraint", CONSTRAINT, many=True),
        Child("affinity", AFFINITY, many=True),
        Child("spread", SPREAD, many=True),
        Child("group", GROUP, many=True, labels=1),
        Child("task", TASK, many=True, labels=1),
        Child("update", UPDATE),
        Child("migrate", MIGRATE),
        Child("reschedule", RESCHEDULE),
        Child("meta", None),
    ),
)
