"""Messages of operators. Pure. Source: spec/nomad-surface.md B6."""

from __future__ import annotations

from daemon.model.scheduler_config import SchedulerConfig
from daemon.rpc.messages.base import Answer, Write


class SchedulerConfigRequest(Write, frozen=True, kw_only=True):
    """Replace the scheduler's settings. `cas`: only if they are still those of `modify_index` (0: never set)."""

    scheduler_config: SchedulerConfig
    cas: bool = False
    modify_index: int = 0


class SchedulerConfigResponse(Answer, frozen=True, kw_only=True):
    """The settings; `updated`: this call has set them."""

    scheduler_config: SchedulerConfig
    updated: bool = False
