"""Constraints and policies from their blocks. Pure.

Theory: a block that stands in two places (job and group, group and task) is merged key by key, the inner
one winning, over the defaults of the job's type.
"""

from __future__ import annotations

from typing import Any

import msgspec

from daemon.jobspec.schema.reader import Fields, Reader
from daemon.model.defaults import default_reschedule, default_restart, default_update
from daemon.model.enums import JobType
from daemon.model.policies import (
    Affinity,
    Constraint,
    DisconnectStrategy,
    EphemeralDisk,
    Lifecycle,
    LogRotation,
    MigrateStrategy,
    ParameterizedConfig,
    PeriodicConfig,
    ReschedulePolicy,
    RestartPolicy,
    Spread,
    SpreadTarget,
    UpdateStrategy,
)
from daemon.model.scaling import ScalingPolicy

_SUGAR = ("version", "semver", "regexp", "set_contains", "set_contains_all", "set_contains_any")

_UPDATE = {
    "max_parallel": "max_parallel",
    "health_check": "health_check",
    "min_healthy_time_ns": "min_healthy_time",
    "healthy_deadline_ns": "healthy_deadline",
    "progress_deadline_ns": "progress_deadline",
    "auto_revert": "auto_revert",
    "auto_promote": "auto_promote",
    "canary": "canary",
}
_MIGRATE = {
    "max_parallel": "max_parallel",
    "health_check": "health_check",
    "min_healthy_time_ns": "min_healthy_time",
    "healthy_deadline_ns": "healthy_deadline",
}
_RESCHEDULE = {
    "attempts": "attempts",
    "interval_ns": "interval",
    "delay_ns": "delay",
    "delay_function": "delay_function",
    "max_delay_ns": "max_delay",
    "unlimited": "unlimited",
}
_DISCONNECT = {
    "lost_after_ns": "lost_after",
    "stop_on_client_after_ns": "stop_on_client_after",
    "replace": "replace",
    "reconcile": "reconcile",
}
_OLD_DISCONNECT = {
    "max_client_disconnect": ("lost_after_ns", "lost_after"),
    "stop_after_client_disconnect": ("stop_on_client_after_ns", "stop_on_client_after"),
}
_RESTART = {"attempts": "attempts", "interval_ns": "interval", "delay_ns": "delay", "mode": "mode"}


def constraints(fields: Fields, reader: Reader) -> tuple[Constraint, ...]:
    """All constraint blocks of a job, group or task."""
    return tuple(Constraint(**_comparison(each, reader)) for each in fields.blocks.get("constraint", []))


def affinities(fields: Fields, reader: Reader) -> tuple[Affinity, ...]:
    """All affinity blocks of a job, group or task."""
    return tuple(
        Affinity(**_comparison(each, reader), **each.pick("weight"))
        for each in fields.blocks.get("affinity", [])
    )


def spreads(fields: Fields) -> tuple[Spread, ...]:
    """All spread blocks of a job or group."""
    return tuple(
        Spread(
            spread_target=tuple(
                SpreadTarget(value=target.label, **target.pick("percent"))
                for target in each.blocks.get("target", [])
            ),
            **{"attribute": "", **each.pick("attribute", "weight")},
        )
        for each in fields.blocks.get("spread", [])
    )


def _comparison(fields: Fields, reader: Reader) -> dict[str, Any]:
    """Left, operator and right, whichever way they are written."""
    values = fields.values
    operand = values.get("operator", "=")
    left, right = values.get("attribute", ""), values.get("value", "")
    short = [name for name in (*_SUGAR, "distinct_hosts", "distinct_property") if name in values]
    for extra in short[1:] if "operator" not in values else short:
        summary = f'"{extra}" cannot stand beside another operator of the same block'
        reader.report(summary, reader.places[(*fields.path, extra)], "write two blocks")
        reader.broken.add(fields.path)
    if short and "operator" not in values:
        operand = short[0]
        reader.places.setdefault((*fields.path, "value"), reader.places[(*fields.path, operand)])
        if operand in _SUGAR:
            right = values[operand]
        elif operand == "distinct_hosts":
            right = "true" if values[operand] else "false"
        else:
            left = values[operand]
    return {"l_target": left, "r_target": right, "operand": operand}


def _merged(keys: dict[str, str], *layers: Fields | None) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for layer in layers:
        if layer is not None:
            result.update(layer.pick(**keys))
    return result


def update(job_type: JobType, *layers: Fields | None) -> UpdateStrategy | None:
    """The update block, if any layer gives one."""
    if not any(layer is not None for layer in layers):
        return None
    base = default_update(job_type) or UpdateStrategy()
    return msgspec.structs.replace(base, **_merged(_UPDATE, *layers))


def migrate(*layers: Fields | None) -> MigrateStrategy | None:
    """The migrate block, if any layer gives one."""
    if not any(layer is not None for layer in layers):
        return None
    return MigrateStrategy(**_merged(_MIGRATE, *layers))


def disconnect(group: Fields, reader: Reader) -> DisconnectStrategy | None:
    """The disconnect block of a group; the two older keys mean one key of it each."""
    block = group.one("disconnect")
    given = block.pick(**_DISCONNECT) if block is not None else {}
    for old, (field, new) in _OLD_DISCONNECT.items():
        if old not in group.values:
            continue
        if block is not None:
            place = reader.places[(*group.path, old)]
            reader.report(
                f'"{old}" cannot stand beside a disconnect block', place, f"write {new} in the block"
            )
        given[field] = group.values[old]
    return DisconnectStrategy(**given) if given or block is not None else None


def scaling(fields: Fields | None, group: dict[str, Any]) -> ScalingPolicy | None:
    """Between which counts a group may be scaled; `min` is the group's count unless it is given."""
    if fields is None:
        return None
    given = fields.pick("min", "max", "enabled")
    free = fields.free.get("policy")
    return ScalingPolicy(policy=free.plain() if free else {}, **{"min": group.get("count", 1), **given})


def reschedule(job_type: JobType, *layers: Fields | None) -> ReschedulePolicy | None:
    """The reschedule block, if any layer gives one."""
    if not any(layer is not None for layer in layers):
        return None
    given = _merged(_RESCHEDULE, *layers)
    base = default_reschedule(job_type) or ReschedulePolicy()
    if given.get("unlimited") and not base.unlimited:
        given = {"attempts": 0, "interval_ns": 0, **given}
    return msgspec.structs.replace(base, **given)


def restart(job_type: JobType, *layers: Fields | None) -> RestartPolicy:
    """The restart block over the type's default."""
    return msgspec.structs.replace(default_restart(job_type), **_merged(_RESTART, *layers))


def ephemeral_disk(fields: Fields | None) -> EphemeralDisk:
    """The ephemeral disk."""
    return EphemeralDisk(**fields.pick(sticky="sticky", size_mb="size")) if fields else EphemeralDisk()


def log_rotation(fields: Fields | None) -> LogRotation:
    """Limits of log files."""
    if fields is None:
        return LogRotation()
    return LogRotation(
        **fields.pick(
            "max_files", "disabled", max_file_size_mb="max_file_size", rate_limit_bytes="rate_limit"
        )
    )


def lifecycle(fields: Fields | None) -> Lifecycle | None:
    """When the task runs."""
    if fields is None:
        return None
    return Lifecycle(hook=fields.values.get("hook", ""), sidecar=fields.values.get("sidecar", False))


def periodic(fields: Fields | None, reader: Reader) -> PeriodicConfig | None:
    """When the job is launched. `cron` is the older way to write one spec."""
    if fields is None:
        return None
    given = fields.pick("enabled", "prohibit_overlap", "time_zone", "missed")
    specs = tuple(fields.values.get("crons", ()))
    if "cron" in fields.values:
        place = reader.places[(*fields.path, "cron")]
        if "crons" in fields.values:
            reader.report('"cron" and "crons" cannot stand together', place, "put all into crons")
        specs = (*specs, fields.values["cron"])
        reader.places.setdefault((*fields.path, "crons"), place)
    return PeriodicConfig(specs=specs, **given)


def parameterized(fields: Fields | None) -> ParameterizedConfig | None:
    """What a dispatch of the job may and must bring."""
    if fields is None:
        return None
    given = fields.pick("payload")
    required, optional = (tuple(fields.values.get(key, ())) for key in ("meta_required", "meta_optional"))
    return ParameterizedConfig(meta_required=required, meta_optional=optional, **given)
