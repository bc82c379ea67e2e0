"""Task events with their text: the words that people read in `alloc status`. Pure.

Source: spec/nomad-surface.md A4 (types of events); texts are our own.
"""

from __future__ import annotations

from daemon.model.base import NS_PER_S
from daemon.model.tasks import EventType, TaskEvent, TaskState
from plugins.driver import ExitResult

#: events kept per task.
EVENTS_MAX = 10


def with_event(state: TaskState, event: TaskEvent) -> tuple[TaskEvent, ...]:
    """The state's events and one more; the oldest give way."""
    return (*state.events, event)[-EVENTS_MAX:]


def duration(ns: int) -> str:
    """A duration as people write it: `15s`, `30m`, `1m30s`, `250ms`."""
    if ns < NS_PER_S:
        return f"{ns // 1_000_000}ms"
    seconds = round(ns / NS_PER_S)
    parts = [(seconds // 3600, "h"), (seconds % 3600 // 60, "m"), (seconds % 60, "s")]
    return "".join(f"{count}{unit}" for count, unit in parts if count)


def received(now_ns: int) -> TaskEvent:
    """The node has the task."""
    return TaskEvent(type=EventType.RECEIVED, time_ns=now_ns, display_message="Task received by the node")


def setup(now_ns: int) -> TaskEvent:
    """Directories and configuration are made."""
    return TaskEvent(
        type=EventType.TASK_SETUP, time_ns=now_ns, display_message="Preparing the task's directory"
    )


def setup_failure(now_ns: int, message: str) -> TaskEvent:
    """The node could not prepare the task."""
    return TaskEvent(
        type=EventType.SETUP_FAILURE,
        time_ns=now_ns,
        message=message,
        display_message=message,
        fails_task=False,
    )


def driver_failure(now_ns: int, message: str) -> TaskEvent:
    """The driver could not start it."""
    return TaskEvent(
        type=EventType.DRIVER_FAILURE,
        time_ns=now_ns,
        message=message,
        display_message=message,
        details={"driver_error": message},
    )


def driver_note(now_ns: int, message: str, details: dict[str, str] | None = None) -> TaskEvent:
    """Progress that the driver tells."""
    return TaskEvent(
        type=EventType.DRIVER, time_ns=now_ns, message=message, display_message=message, details=details or {}
    )


def started(now_ns: int) -> TaskEvent:
    """It runs."""
    return TaskEvent(type=EventType.STARTED, time_ns=now_ns, display_message="Task started")


def terminated(now_ns: int, result: ExitResult) -> TaskEvent:
    """It has ended, and how."""
    parts = [f"Exit Code: {result.exit_code}"]
    details = {"exit_code": str(result.exit_code), "signal": str(result.signal)}
    if result.signal:
        parts.append(f"Signal: {result.signal}")
    if result.oom_killed:
        parts.append("the kernel killed it because it used more memory than its limit (OOM)")
        details["oom_killed"] = "true"
    if result.error:
        parts.append(result.error)
        details["exit_message"] = result.error
    return TaskEvent(
        type=EventType.TERMINATED,
        time_ns=now_ns,
        message=result.error,
        display_message=", ".join(parts),
        details=details,
        exit_code=result.exit_code,
        signal=result.signal,
    )


def restarting(now_ns: int, delay_ns: int, reason: str) -> TaskEvent:
    """It will start again after a delay."""
    return TaskEvent(
        type=EventType.RESTARTING,
        time_ns=now_ns,
        message=reason,
        display_message=f"{reason}; starts again in {duration(delay_ns)}" if delay_ns else reason,
        details={"restart_reason": reason, "start_delay": str(delay_ns)},
    )


def not_restarting(now_ns: int, reason: str, *, fails: bool) -> TaskEvent:
    """It will not start again."""
    return TaskEvent(
        type=EventType.NOT_RESTARTING,
        time_ns=now_ns,
        message=reason,
        display_message=reason,
        details={"restart_reason": reason},
        fails_task=fails,
    )


def restart_signaled(now_ns: int, reason: str) -> TaskEvent:
    """A user asked for a restart."""
    return TaskEvent(type=EventType.RESTART_SIGNALED, time_ns=now_ns, message=reason, display_message=reason)


def signaling(now_ns: int, signal: str, reason: str) -> TaskEvent:
    """A user sent a signal."""
    return TaskEvent(
        type=EventType.SIGNALING,
        time_ns=now_ns,
        message=reason,
        display_message=f"{signal} sent: {reason}",
        details={"task_signal": signal, "task_signal_reason": reason},
    )


def killing(now_ns: int, signal: str, timeout_ns: int, why: str = "") -> TaskEvent:
    """The stop signal goes out."""
    text = f"{signal or 'Stop signal'} sent; killed after {duration(timeout_ns)} if it still runs then"
    return TaskEvent(
        type=EventType.KILLING,
        time_ns=now_ns,
        message=why,
        display_message=f"{why}. {text}" if why else text,
        details={"kill_timeout": str(timeout_ns), "kill_signal": signal, "kill_reason": why},
    )


def killed(now_ns: int) -> TaskEvent:
    """It was ended by the node."""
    return TaskEvent(type=EventType.KILLED, time_ns=now_ns, display_message="Task ended by the node")


def shutdown_delay(now_ns: int, delay_ns: int) -> TaskEvent:
    """The stop signal waits."""
    return TaskEvent(
        type=EventType.SHUTDOWN_DELAY,
        time_ns=now_ns,
        display_message=f"Waits {duration(delay_ns)} before it is stopped (shutdown_delay)",
    )


def sibling_failed(now_ns: int, sibling: str) -> TaskEvent:
    """Another task of the allocation has failed."""
    return TaskEvent(
        type=EventType.SIBLING_FAILED,
        time_ns=now_ns,
        display_message=f"Task {sibling!r} of the same allocation has failed",
        details={"failed_sibling": sibling},
    )


def leader_dead(now_ns: int, leader: str) -> TaskEvent:
    """The leader task has ended."""
    return TaskEvent(
        type=EventType.LEADER_DEAD, time_ns=now_ns, display_message=f"The leader task {leader!r} has ended"
    )


def main_dead(now_ns: int) -> TaskEvent:
    """All main tasks have ended."""
    return TaskEvent(
        type=EventType.MAIN_DEAD,
        time_ns=now_ns,
        display_message="All main tasks of the allocation have ended",
    )


def max_run(now_ns: int, limit_ns: int) -> TaskEvent:
    """The allocation ran longer than it may."""
    return TaskEvent(
        type=EventType.MAX_RUN_DURATION,
        time_ns=now_ns,
        display_message=f"The allocation has run longer than max_run_duration ({duration(limit_ns)})",
    )


def unhealthy(now_ns: int, reason: str) -> TaskEvent:
    """The allocation counts as unhealthy."""
    return TaskEvent(type=EventType.ALLOC_UNHEALTHY, time_ns=now_ns, message=reason, display_message=reason)
