"""`encamp operator scheduler get-config` and `set-config`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from msgspec.structs import replace

from daemon.cli.durations import DURATION
from daemon.cli.framework import command, json_option, option
from daemon.cli.session import Session
from daemon.cli.text import pairs, span
from daemon.cli.with_session import with_session
from daemon.model.base import NS_PER_S, to_json
from daemon.model.errors import InvalidInput
from daemon.model.scheduler_config import ALGORITHMS, QUARANTINE_MODES, SchedulerConfig
from daemon.rpc.methods import SCHEDULER_GET_CONFIG, SCHEDULER_SET_CONFIG

KINDS = ("system", "sysbatch", "batch", "service")


def _switch(name: str, help_: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return option(name, type=bool, default=None, metavar="true|false", help=help_)


@command("get-config", example="encamp operator scheduler get-config")
@json_option
@with_session
def get_config(session: Session, as_json: bool) -> None:
    """Show the settings of the scheduler."""
    config = session.call(SCHEDULER_GET_CONFIG).scheduler_config
    if as_json:
        session.console.json(to_json(config, indent=2))
    else:
        session.console.lines(_lines(config, color=session.console.color))


@command(
    "set-config",
    example="encamp operator scheduler set-config -scheduler-algorithm spread",
)
@option("-scheduler-algorithm", "algorithm", type=click.Choice(ALGORITHMS), help="How nodes are ranked.")
@_switch("-preempt-system-scheduler", "System jobs may take the room of others.")
@_switch("-preempt-sysbatch-scheduler", "Sysbatch jobs may.")
@_switch("-preempt-batch-scheduler", "Batch jobs may.")
@_switch("-preempt-service-scheduler", "Services may.")
@_switch("-memory-oversubscription", "Tasks may use more than they reserve, up to memory_max.")
@_switch("-reject-job-registration", "Nobody may submit, dispatch or scale jobs.")
@_switch("-pause-eval-broker", "Evaluations wait; what runs goes on.")
@option(
    "-quarantine", "quarantine", type=click.Choice(QUARANTINE_MODES), help="Of nodes where many jobs fail."
)
@option("-quarantine-jobs", "jobs", type=click.IntRange(1), help="So many jobs must have failed there.")
@option("-quarantine-share", "share", type=click.IntRange(0, 100), help="Percent of a pool's nodes at most.")
@option("-quarantine-half-life", "half_life_s", type=DURATION, help="Time in which failures fade to half.")
@option("-check-index", "check", type=click.IntRange(min=0), default=None, help="Only if nobody changed it.")
@json_option
@with_session
def set_config(
    session: Session,
    algorithm: str | None,
    preempt_system_scheduler: bool | None,
    preempt_sysbatch_scheduler: bool | None,
    preempt_batch_scheduler: bool | None,
    preempt_service_scheduler: bool | None,
    memory_oversubscription: bool | None,
    reject_job_registration: bool | None,
    pause_eval_broker: bool | None,
    quarantine: str | None,
    jobs: int | None,
    share: int | None,
    half_life_s: float | None,
    check: int | None,
    as_json: bool,
) -> None:
    """Change settings of the scheduler; what is not named stays as it is."""
    config = session.call(SCHEDULER_GET_CONFIG).scheduler_config
    preempt = (
        preempt_system_scheduler,
        preempt_sysbatch_scheduler,
        preempt_batch_scheduler,
        preempt_service_scheduler,
    )
    kinds = {
        f"{kind}_scheduler_enabled": value
        for kind, value in zip(KINDS, preempt, strict=True)
        if value is not None
    }
    given = {
        "scheduler_algorithm": algorithm,
        "memory_oversubscription_enabled": memory_oversubscription,
        "reject_job_registration": reject_job_registration,
        "pause_eval_broker": pause_eval_broker,
    }
    changed = {name: value for name, value in given.items() if value is not None}
    marking = _quarantine(quarantine, jobs, share, half_life_s)
    if not (changed or kinds or marking):
        raise InvalidInput("give at least one setting; `encamp operator scheduler get-config` shows them")
    # always checked against what was read here, so that two operators do not undo each other's changes
    answer = session.call(
        SCHEDULER_SET_CONFIG,
        scheduler_config=replace(
            config,
            preemption_config=replace(config.preemption_config, **kinds),
            quarantine=replace(config.quarantine, **marking),
            **changed,
        ),
        cas=True,
        modify_index=config.modify_index if check is None else check,
    )
    if as_json:
        session.console.json(to_json(answer.scheduler_config, indent=2))
        return
    session.console.line("Scheduler configuration updated!")
    session.console.lines(_lines(answer.scheduler_config, color=session.console.color))


def _quarantine(
    mode: str | None, jobs: int | None, share: int | None, half_life_s: float | None
) -> dict[str, Any]:
    """What was given of its settings."""
    given = {
        "mode": mode,
        "jobs": jobs,
        "share_percent": share,
        "half_life_ns": int(half_life_s * NS_PER_S) if half_life_s is not None else None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _lines(config: SchedulerConfig, *, color: bool) -> list[str]:
    preemption = config.preemption_config
    items = [("Scheduler Algorithm", config.scheduler_algorithm)]
    items += [
        (f"Preemption {kind.capitalize()}", _word(getattr(preemption, f"{kind}_scheduler_enabled")))
        for kind in KINDS
    ]
    items += [
        ("Memory Oversubscription", _word(config.memory_oversubscription_enabled)),
        ("Reject Job Registration", _word(config.reject_job_registration)),
        ("Pause Eval Broker", _word(config.pause_eval_broker)),
        ("Quarantine", config.quarantine.mode),
        ("Quarantine Jobs", str(config.quarantine.jobs)),
        ("Quarantine Share", f"{config.quarantine.share_percent}%"),
        ("Quarantine Half-Life", span(config.quarantine.half_life_ns / NS_PER_S)),
        ("Modify Index", str(config.modify_index)),
    ]
    return pairs(items, color=color)


def _word(value: bool) -> str:
    return "true" if value else "false"
