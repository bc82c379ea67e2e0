"""SchedulerConfig: what an operator sets for all schedulers at run time. Pure.

Source: spec/scheduler.md 5.1, 5.4; names: spec/nomad-surface.md B3.
"""

from __future__ import annotations

from daemon.model.base import NS_PER_S, Wire

BINPACK = "binpack"
SPREAD = "spread"
ALGORITHMS = (BINPACK, SPREAD)

OFF = "off"
OBSERVE = "observe"
ON = "on"
QUARANTINE_MODES = (OFF, OBSERVE, ON)


class PreemptionConfig(Wire, frozen=True, kw_only=True):
    """Which kinds of jobs may take the room of less important ones."""

    system_scheduler_enabled: bool = True
    sysbatch_scheduler_enabled: bool = False
    batch_scheduler_enabled: bool = False
    service_scheduler_enabled: bool = False


class QuarantineConfig(Wire, frozen=True, kw_only=True):
    """When a node on which the work of several jobs fails takes no new work."""

    #: off: nobody counts; observe: suspicious nodes are only named; on: they take no new work.
    mode: str = OBSERVE
    #: that many distinct jobs must have failed there.
    jobs: int = 3
    #: never more than this share of a pool's nodes at a time; one where the pool has at least three.
    share_percent: int = 10
    #: after this time a failure counts for half.
    half_life_ns: int = 30 * 60 * NS_PER_S


class SchedulerConfig(Wire, frozen=True, kw_only=True):
    """Settings of all schedulers. `scheduler_algorithm`: binpack or spread."""

    scheduler_algorithm: str = BINPACK
    preemption_config: PreemptionConfig = PreemptionConfig()
    #: whether tasks may use more memory than they reserve, up to their memory_max.
    memory_oversubscription_enabled: bool = True
    #: nobody may submit, dispatch or scale jobs.
    reject_job_registration: bool = False
    #: evaluations wait; what runs goes on.
    pause_eval_broker: bool = False
    quarantine: QuarantineConfig = QuarantineConfig()
    create_index: int = 0
    modify_index: int = 0
