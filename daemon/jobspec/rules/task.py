"""Rules of a task. Pure.

Source: spec/nomad-surface.md C5.
"""

from __future__ import annotations

import posixpath
import signal
from collections import Counter

from daemon.jobspec.diagnostics import nearest
from daemon.jobspec.rules.constraints import check_constraints
from daemon.jobspec.rules.policies import check_restart, one_of
from daemon.jobspec.rules.problem import Report, step
from daemon.jobspec.rules.wishes import check_affinities
from daemon.model.job import Task, TaskGroup
from daemon.model.resources import DeviceRequest, Resources

_SIGNALS = tuple(name for name in signal.Signals.__members__ if not name.startswith("SIG_"))
_HOOKS = ("prestart", "poststart", "poststop")
_PROPAGATION = ("private", "host-to-task", "bidirectional")


def check_task(task: Task, group: TaskGroup, report: Report) -> None:
    """One task of a group."""
    _check_name(task, report)
    if not task.driver:
        report.error("driver", "a task needs a driver", 'e.g. driver = "docker"')
    elif "${" in task.driver:
        word = task.driver.removeprefix("${").removesuffix("}")
        report.error("driver", "the driver is a plain name", f'write driver = "{word}"')
    report.need(task.kill_timeout_ns >= 0, "kill_timeout", "kill_timeout cannot be negative")
    report.need(task.shutdown_delay_ns >= 0, "shutdown_delay", "shutdown_delay cannot be negative")
    if task.kill_signal and "${" not in task.kill_signal:
        known = task.kill_signal.upper() in _SIGNALS
        advice = nearest(task.kill_signal.upper(), _SIGNALS)
        report.need(known, "kill_signal", f'there is no signal "{task.kill_signal}"', advice)
    for key in task.env:
        report.need(
            bool(key) and "=" not in key and "\0" not in key, "env", f'"{key}" cannot name a variable'
        )
    check_resources(task.resources, report.below("resources"))
    check_constraints(task.constraints, report, in_task=True)
    check_affinities(task.affinities, report)
    if task.restart_policy is not None:
        check_restart(task.restart_policy, report.below("restart"))
    if task.lifecycle is not None:
        _check_lifecycle(task, report.below("lifecycle"))
    _check_logs(task, group, report.below("logs"))
    _check_mounts(task, group, report)
    if task.dispatch_payload is not None:
        check_inside(task.dispatch_payload.file, "file", report.below("dispatch_payload"))


def _check_name(task: Task, report: Report) -> None:
    if not task.name:
        report.error("", "a task needs a name")
    elif task.name == "alloc":
        report.error(
            "", 'a task cannot be named "alloc": that is the shared directory', "choose another name"
        )
    elif "/" in task.name or not task.name.isprintable() or task.name in (".", ".."):
        report.error(
            "", f'the task name "{task.name}" cannot be a directory\'s name', "use letters, digits and -"
        )


def check_inside(path: str, key: str, report: Report) -> None:
    """A path that must stay inside its directory."""
    if not path:
        report.error(key, f"{key} is missing")
        return
    shown = posixpath.normpath(path)
    if "\0" in path or shown in (".", "..") or shown.startswith(("../", "/")):
        report.error(key, f'"{path}" leads outside the directory of the task')


def check_resources(resources: Resources, report: Report) -> None:
    """A task's ask."""
    report.need(resources.cores >= 0, "cores", "cores cannot be negative")
    if resources.cores > 0:
        message = f"cpu ({resources.cpu} MHz) and cores ({resources.cores}) exclude each other"
        report.need(resources.cpu == 0, "cores", message, "leave one of them out")
    else:
        report.need(resources.cpu >= 1, "cpu", "cpu is at least 1 MHz")
    seen: Counter[str] = Counter()
    for device in resources.devices:
        seen[device.name] += 1
        _check_device(device, report.below(step("device", device.name, seen[device.name])))
    report.need(resources.memory_mb >= 10, "memory", f"memory is at least 10 MB, not {resources.memory_mb}")
    most = resources.memory_max_mb
    if most not in (0, -1) and most < resources.memory_mb:
        message = f"memory_max ({most} MB) is at least memory ({resources.memory_mb} MB)"
        report.error("memory_max", message, "or -1 for no limit")


def _check_device(device: DeviceRequest, report: Report) -> None:
    parts = device.name.split("/")
    if not (1 <= len(parts) <= 3 and all(parts)):
        message = f'"{device.name}" does not name a device'
        report.error("", message, "write type, vendor/type or vendor/type/name")
    report.need(device.count >= 1, "count", f"count is at least 1, not {device.count}")
    check_affinities(device.affinities, report)
    for at, constraint in enumerate(device.constraints):
        if constraint.operand.startswith("distinct_"):
            message = f"{constraint.operand} is about nodes, not about devices"
            report.below(f"constraint[{at}]").error("operator", message)
            return
    check_constraints(device.constraints, report, in_task=True)


def _check_lifecycle(task: Task, report: Report) -> None:
    assert task.lifecycle is not None
    if not task.lifecycle.hook:
        report.error("hook", "a lifecycle block needs a hook", f"one of: {', '.join(_HOOKS)}")
        return
    one_of(report, "hook", task.lifecycle.hook, _HOOKS)


def _check_logs(task: Task, group: TaskGroup, report: Report) -> None:
    logs = task.log_config
    report.need(logs.max_files >= 1, "max_files", "max_files is at least 1")
    report.need(logs.max_file_size_mb >= 1, "max_file_size", "max_file_size is at least 1 MB")
    report.need(logs.rate_limit_bytes >= 0, "rate_limit", "rate_limit cannot be negative")
    total, disk = logs.max_files * logs.max_file_size_mb, group.ephemeral_disk.size_mb
    if not logs.disabled and total >= disk:
        message = f"logs of {logs.max_files} x {logs.max_file_size_mb} MB do not fit on a disk of {disk} MB"
        report.error("max_files", message, "lower them, or raise ephemeral_disk { size } of the group")


def _check_mounts(task: Task, group: TaskGroup, report: Report) -> None:
    for at, mount in enumerate(task.volume_mounts):
        inner = report.below(f"volume_mount[{at}]")
        if mount.volume not in group.volumes:
            advice = nearest(mount.volume, group.volumes) or 'declare it in the group: volume "NAME" { ... }'
            inner.error("volume", f'the group has no volume "{mount.volume}"', advice)
        inner.need(bool(mount.destination), "destination", "a volume_mount needs a destination")
        one_of(inner, "propagation_mode", mount.propagation_mode or "private", _PROPAGATION)
