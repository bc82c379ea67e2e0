"""One allocation: what it is, its addresses, its tasks and what happened to them. Pure.

Source: spec/nomad-surface.md E, row 11.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo

from daemon.cli.text import Cell, age, clean, iso, pairs, short, size, status, table, title
from daemon.model.alloc import Allocation
from daemon.model.job import Job
from daemon.model.tasks import EventType, TaskEvent, TaskState
from daemon.rpc.messages import TaskUsage


def alloc_pairs(
    alloc: Allocation, now_ns: int, *, verbose: bool = False, color: bool = False, zone: tzinfo | None = None
) -> list[str]:
    """The facts of an allocation."""

    def when(at_ns: int) -> str:
        return iso(at_ns, zone) if verbose else age(at_ns, now_ns)

    items: list[tuple[str, Cell]] = [
        ("ID", alloc.id),
        ("Eval ID", short(alloc.eval_id, verbose)),
        ("Name", alloc.name),
        ("Node ID", short(alloc.node_id, verbose)),
        ("Node Name", alloc.node_name),
        ("Job ID", alloc.job_id),
        ("Job Version", str(alloc.job_version)),
        ("Client Status", status(alloc.client_status)),
        ("Client Description", alloc.client_description),
        ("Desired Status", str(alloc.desired_status)),
        ("Desired Description", alloc.desired_description),
        ("Created", when(alloc.create_time_ns)),
        ("Modified", when(alloc.modify_time_ns)),
    ]
    if alloc.deployment_id:
        items.append(("Deployment ID", short(alloc.deployment_id, verbose)))
    if alloc.deployment_status is not None:
        items.append(("Health", health_word(alloc)))
    if alloc.previous_allocation:
        items.append(("Replaces Alloc ID", short(alloc.previous_allocation, verbose)))
    if alloc.next_allocation:
        items.append(("Replacement Alloc ID", short(alloc.next_allocation, verbose)))
    if alloc.preempted_by_allocation:
        items.append(("Preempted By Alloc ID", short(alloc.preempted_by_allocation, verbose)))
    if alloc.preempted_allocations:
        ended = ", ".join(short(other, verbose) for other in alloc.preempted_allocations)
        items.append(("Preempts Alloc IDs", ended))
    if alloc.followup_eval_id:
        items.append(("Reschedule Eval ID", short(alloc.followup_eval_id, verbose)))
    events = alloc.reschedule_tracker.events if alloc.reschedule_tracker else ()
    if events:
        items.append(("Reschedules", str(len(events))))
    return pairs(items, color=color)


def health_word(alloc: Allocation) -> Cell:
    """Healthy, unhealthy, or not known yet."""
    healthy = alloc.deployment_status.healthy if alloc.deployment_status else None
    return status({True: "healthy", False: "unhealthy", None: "unset"}[healthy])


def addresses(alloc: Allocation, job: Job | None, *, color: bool = False) -> list[str]:
    """Ports that the allocation holds. `Dynamic`: chosen by the scheduler."""
    group = job.group(alloc.task_group) if job else None
    static = {port.label for network in (group.networks if group else ()) for port in network.reserved_ports}
    rows: list[list[Cell]] = []
    for port in alloc.allocated_resources.shared.ports:
        host = f"[{port.host_ip}]" if ":" in port.host_ip else port.host_ip
        to = f" -> {port.to}" if port.to > 0 else ""
        rows.append([port.label, "no" if port.label in static else "yes", f"{host}:{port.value}{to}"])
    return table(("Label", "Dynamic", "Address"), rows, color=color) if rows else []


def tasks(
    alloc: Allocation,
    job: Job | None,
    usage: Mapping[str, TaskUsage] | None = None,
    *,
    color: bool = False,
    zone: tzinfo | None = None,
) -> list[str]:
    """Every task with what it may use, when it ran, and its last events."""
    lines: list[str] = []
    for name in _task_names(alloc, job):
        state = alloc.task_states.get(name, TaskState())
        word = "failed" if state.failed else str(state.state)
        extra = f" ({state.state})" if state.failed else ""
        lines += ["", title(f'Task "{clean(name)}" is "{word}"{extra}', color=color)]
        lines += _resources(alloc, name, (usage or {}).get(name), color)
        lines += ["", *_task_times(state, color, zone)]
        lines += ["", "Recent Events:", *events(state.events, color=color, zone=zone)]
    return lines


def _task_names(alloc: Allocation, job: Job | None) -> list[str]:
    group = job.group(alloc.task_group) if job else None
    names = [task.name for task in group.tasks] if group else []
    return names + sorted((set(alloc.task_states) | set(alloc.allocated_resources.tasks)) - set(names))


def _resources(alloc: Allocation, name: str, used: TaskUsage | None, color: bool) -> list[str]:
    given = alloc.allocated_resources.tasks.get(name)
    if given is None:
        return []
    cpu = f"{given.cpu_shares} MHz"
    if given.reserved_cores:
        cpu += f" (cores {','.join(map(str, given.reserved_cores))})"
    memory = f"{given.memory_mb} MiB"
    if used is not None:
        cpu = f"{used.cpu_mhz:.0f}/{cpu}"
        memory = f"{size(used.memory_rss_bytes)}/{memory}"
    if given.memory_max_mb > given.memory_mb:
        memory += f" (max {given.memory_max_mb} MiB)"
    disk = f"{alloc.allocated_resources.shared.disk_mb} MiB"
    devices = [
        f"Device {one.vendor}/{one.type}/{one.name}: {', '.join(one.device_ids)}" for one in given.devices
    ]
    return [
        "Task Resources:",
        *table(("CPU", "Memory", "Disk"), [[cpu, memory, disk]], color=color),
        *devices,
    ]


def _task_times(state: TaskState, color: bool, zone: tzinfo | None) -> list[str]:
    return [
        "Task Events:",
        *pairs(
            [
                ("Started At", iso(state.started_at_ns, zone) or "N/A"),
                ("Finished At", iso(state.finished_at_ns, zone) or "N/A"),
                ("Total Restarts", str(state.restarts)),
                ("Last Restart", iso(state.last_restart_ns, zone) or "N/A"),
            ],
            color=color,
        ),
    ]


def events(listed: tuple[TaskEvent, ...], *, color: bool = False, zone: tzinfo | None = None) -> list[str]:
    """Events of a task, newest first."""
    rows: list[list[Cell]] = [
        [iso(event.time_ns, zone), event.type, event_text(event)]
        for event in sorted(listed, key=lambda event: -event.time_ns)
    ]
    return table(("Time", "Type", "Description"), rows, color=color) if rows else ["(none yet)"]


def event_text(event: TaskEvent) -> str:
    """What a person should read of an event."""
    if event.display_message or event.message:
        return event.display_message or event.message
    return ", ".join(f"{key}: {value}" for key, value in sorted(event.details.items()))


#: events that name a cause; the others say what followed from it.
_TELLING = frozenset(
    {
        EventType.DRIVER_FAILURE,
        EventType.SETUP_FAILURE,
        EventType.FAILED_VALIDATION,
        EventType.DISK_EXCEEDED,
        EventType.MAX_RUN_DURATION,
    }
)


def last_words(alloc: Allocation) -> list[str]:
    """For an allocation that does badly: the newest telling event of each task."""
    lines: list[str] = []
    for name, state in sorted(alloc.task_states.items()):
        told = [event for event in state.events if event.type in _TELLING or event.exit_code or event.signal]
        told = told or [event for event in state.events if event.fails_task]
        told = told or [event for event in state.events if event_text(event)]
        if told and (state.failed or state.state != "running" or state.restarts):
            event = max(told, key=lambda event: event.time_ns)
            lines.append(
                f'Task "{clean(name)}": {event.type}: {clean(event_text(event)) or f"exit code {event.exit_code}"}'
            )
    if not lines and alloc.client_description:
        lines.append(clean(alloc.client_description))
    return lines
