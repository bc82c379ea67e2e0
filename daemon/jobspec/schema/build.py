"""Structs of the model from the fields that were read. Pure.

Theory: missing keys get the struct's defaults; nothing is checked here that can be checked on the finished
struct (`daemon.jobspec.validate`), so that a server applies the same rules to a job from anywhere.
"""

from __future__ import annotations

from daemon.jobspec.diagnostics import nearest
from daemon.jobspec.schema import policies
from daemon.jobspec.schema.ports import group_networks, move_task_ports
from daemon.jobspec.schema.reader import Fields, Reader
from daemon.model.enums import JobType
from daemon.model.job import DispatchPayload, Job, Task, TaskGroup, VolumeMount, VolumeRequest
from daemon.model.resources import DeviceRequest, Resources


def build_job(fields: Fields, reader: Reader) -> Job:
    """The job, not yet canonical."""
    given = fields.pick("region", "namespace", "name", "priority", "all_at_once", "datacenters", "node_pool")
    given |= fields.pick("max_running")
    job_type = _job_type(fields, reader)
    groups = [build_group(each, fields, job_type, reader) for each in fields.blocks.get("group", [])]
    groups += [_lone_task(each, fields, job_type, reader) for each in fields.blocks.get("task", [])]
    job = Job(
        id=fields.values.get("id", fields.label),
        type=job_type,
        constraints=policies.constraints(fields, reader),
        affinities=policies.affinities(fields, reader),
        spreads=policies.spreads(fields),
        update=policies.update(job_type, fields.one("update")),
        periodic=policies.periodic(fields.one("periodic"), reader),
        parameterized_job=policies.parameterized(fields.one("parameterized")),
        meta=reader.text_map(fields, "meta"),
        task_groups=tuple(groups),
        **{"name": fields.label or fields.values.get("id", ""), **given},
    )
    return move_task_ports(job, fields, reader)


def _job_type(fields: Fields, reader: Reader) -> JobType:
    given = fields.values.get("type", "service")
    if (*fields.path, "type") in reader.broken:
        return JobType.SERVICE
    try:
        return JobType(given)
    except ValueError:
        place = reader.places[(*fields.path, "type")]
        advice = nearest(given, list(JobType)) or 'types: "service", "batch", "system", "sysbatch"'
        reader.report(f'"{given}" is not a type of job', place, advice)
        return JobType.SERVICE


def _lone_task(task: Fields, job: Fields, job_type: JobType, reader: Reader) -> TaskGroup:
    """A task that stands in the job itself: a group of its name, once."""
    group = Fields((f'group "{task.label}"',), task.range, list(task.labels), blocks={"task": [task]})
    reader.places.setdefault(group.path, task.range)
    return build_group(group, job, job_type, reader)


def build_group(fields: Fields, job: Fields, job_type: JobType, reader: Reader) -> TaskGroup:
    """A task group."""
    given = fields.pick("count", shutdown_delay_ns="shutdown_delay", max_run_duration_ns="max_run_duration")
    given |= fields.pick("max_running")
    restart = fields.one("restart")
    scaling = policies.scaling(fields.one("scaling"), given)
    if scaling is not None:
        given.setdefault("count", scaling.min)
    return TaskGroup(
        scaling=scaling,
        name=fields.label,
        tasks=tuple(build_task(each, restart, job_type, reader) for each in fields.blocks.get("task", [])),
        constraints=policies.constraints(fields, reader),
        affinities=policies.affinities(fields, reader),
        spreads=policies.spreads(fields),
        networks=group_networks(fields, reader),
        volumes={each.label: _volume(each) for each in fields.blocks.get("volume", [])},
        restart_policy=policies.restart(job_type, restart),
        reschedule_policy=policies.reschedule(job_type, job.one("reschedule"), fields.one("reschedule")),
        update=policies.update(job_type, job.one("update"), fields.one("update")),
        migrate=policies.migrate(job.one("migrate"), fields.one("migrate")),
        disconnect=policies.disconnect(fields, reader),
        ephemeral_disk=policies.ephemeral_disk(fields.one("ephemeral_disk")),
        meta=reader.text_map(fields, "meta"),
        **given,
    )


def _volume(fields: Fields) -> VolumeRequest:
    keys = ("type", "source", "read_only", "per_alloc", "sticky", "access_mode", "attachment_mode")
    return VolumeRequest(name=fields.label, **fields.pick(*keys))


def build_task(fields: Fields, group_restart: Fields | None, job_type: JobType, reader: Reader) -> Task:
    """A task."""
    given = fields.pick(
        "driver",
        "user",
        "leader",
        "kill_signal",
        "port_labels",
        kill_timeout_ns="kill_timeout",
        shutdown_delay_ns="shutdown_delay",
    )
    restart = fields.one("restart")
    config = fields.free.get("config")
    payload = fields.one("dispatch_payload")
    resources = fields.one("resources")
    return Task(
        name=fields.label,
        config=config.plain() if config else {},
        env=reader.text_map(fields, "env"),
        meta=reader.text_map(fields, "meta"),
        resources=_resources(resources, reader),
        constraints=policies.constraints(fields, reader),
        affinities=policies.affinities(fields, reader),
        volume_mounts=tuple(_mount(each) for each in fields.blocks.get("volume_mount", [])),
        restart_policy=policies.restart(job_type, group_restart, restart) if restart else None,
        log_config=policies.log_rotation(fields.one("logs")),
        lifecycle=policies.lifecycle(fields.one("lifecycle")),
        dispatch_payload=DispatchPayload(file=payload.values.get("file", "")) if payload else None,
        **{"driver": "", **given},
    )


def _resources(fields: Fields | None, reader: Reader) -> Resources:
    if fields is None:
        return Resources()
    given = fields.pick("cpu", "cores", memory_mb="memory", memory_max_mb="memory_max")
    if given.get("cores", 0) > 0:
        # what cores count for in MHz is the node's to say.
        given.setdefault("cpu", 0)
    devices = tuple(_device(each, reader) for each in fields.blocks.get("device", []))
    return Resources(**given, devices=devices)


def _device(fields: Fields, reader: Reader) -> DeviceRequest:
    return DeviceRequest(
        name=fields.label,
        constraints=policies.constraints(fields, reader),
        affinities=policies.affinities(fields, reader),
        **fields.pick("count"),
    )


def _mount(fields: Fields) -> VolumeMount:
    given = fields.pick("volume", "destination", "read_only", "propagation_mode")
    return VolumeMount(**{"volume": "", "destination": "", **given})
