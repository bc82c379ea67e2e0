"""Policies and rules of a job: update, restart, reschedule, constraints ... Durations in ns. Pure.

Source: spec/scheduler.md 1.2, spec/nomad-surface.md C2. Defaults here are those of a present but
empty block; `daemon.model.defaults` fills the blocks that depend on the job's type.
"""

from __future__ import annotations

from daemon.model.base import NS_PER_S, Wire

SECOND = NS_PER_S
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


class Constraint(Wire, frozen=True, kw_only=True):
    """Hard filter: `l_target OPERAND r_target`, e.g. `${attr.kernel.name}` = `linux`."""

    l_target: str = ""
    r_target: str = ""
    operand: str = "="

    def __str__(self) -> str:
        """As people read it: `${attr.kernel.name} = linux`."""
        return " ".join(part for part in (self.l_target, self.operand, self.r_target) if part)


class Affinity(Wire, frozen=True, kw_only=True):
    """Soft preference with a weight from -100 to 100, not 0."""

    l_target: str = ""
    r_target: str = ""
    operand: str = "="
    weight: int = 50


class SpreadTarget(Wire, frozen=True, kw_only=True):
    """Wanted share of one attribute value."""

    value: str
    percent: int = 0


class Spread(Wire, frozen=True, kw_only=True):
    """Distribution of a group over the values of an attribute; without targets: even."""

    attribute: str
    weight: int = 50
    spread_target: tuple[SpreadTarget, ...] = ()


class UpdateStrategy(Wire, frozen=True, kw_only=True):
    """How a changed group is rolled out. `max_parallel` 0 means no update block."""

    stagger_ns: int = 30 * SECOND
    max_parallel: int = 1
    health_check: str = "checks"
    min_healthy_time_ns: int = 10 * SECOND
    healthy_deadline_ns: int = 5 * MINUTE
    progress_deadline_ns: int = 10 * MINUTE
    auto_revert: bool = False
    auto_promote: bool = False
    canary: int = 0


class MigrateStrategy(Wire, frozen=True, kw_only=True):
    """Pacing of a drain for one group (service only)."""

    max_parallel: int = 1
    health_check: str = "checks"
    min_healthy_time_ns: int = 10 * SECOND
    healthy_deadline_ns: int = 5 * MINUTE


class RestartPolicy(Wire, frozen=True, kw_only=True):
    """Restarts in place, on the node: `attempts` within `interval`, then `mode` fail or delay."""

    attempts: int = 2
    interval_ns: int = 30 * MINUTE
    delay_ns: int = 15 * SECOND
    mode: str = "fail"
    render_templates: bool = False


class ReschedulePolicy(Wire, frozen=True, kw_only=True):
    """Replacement of failed allocations elsewhere."""

    attempts: int = 0
    interval_ns: int = 0
    delay_ns: int = 30 * SECOND
    delay_function: str = "exponential"
    max_delay_ns: int = HOUR
    unlimited: bool = True


class DisconnectStrategy(Wire, frozen=True, kw_only=True):
    """What happens while a node cannot be reached. 0: off."""

    lost_after_ns: int = 0
    stop_on_client_after_ns: int | None = None
    replace: bool = True
    reconcile: str = "best_score"


class EphemeralDisk(Wire, frozen=True, kw_only=True):
    """Space of the allocation's directory."""

    size_mb: int = 300
    sticky: bool = False
    migrate: bool = False


class PeriodicConfig(Wire, frozen=True, kw_only=True):
    """Launch by cron.

    `missed` is ours: what becomes of launches that nobody could make when they were due: `skip`, `once` (one for
    all of them), or `all`.
    """

    enabled: bool = True
    specs: tuple[str, ...] = ()
    prohibit_overlap: bool = False
    time_zone: str = "UTC"
    missed: str = "once"


class ParameterizedConfig(Wire, frozen=True, kw_only=True):
    """Launch by dispatch."""

    payload: str = "optional"
    meta_required: tuple[str, ...] = ()
    meta_optional: tuple[str, ...] = ()


class LogRotation(Wire, frozen=True, kw_only=True):
    """Limits of one task's log files. `rate_limit_bytes` is ours: bytes a second, 0 = no limit."""

    max_files: int = 10
    max_file_size_mb: int = 10
    disabled: bool = False
    rate_limit_bytes: int = 0


class Lifecycle(Wire, frozen=True, kw_only=True):
    """When a task runs beside the main tasks."""

    hook: str
    sidecar: bool = False
