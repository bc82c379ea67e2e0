"""Which rules judge an allocation's health. Pure.

Source: spec/scheduler.md 1.2, 6.7, 9.2.
"""

from __future__ import annotations

from daemon.model.enums import JobType
from daemon.model.job import Job, TaskGroup
from daemon.model.policies import MigrateStrategy, UpdateStrategy


def health_rules(job: Job, group: TaskGroup, deployment_id: str) -> UpdateStrategy | MigrateStrategy | None:
    """The update block's; the migrate block's, when it is given, for what no deployment placed. None: not judged.

    The node does not judge either when the rules say `manual`.
    """
    if job.type == JobType.SERVICE:
        if not deployment_id and group.migrate is not None:
            return group.migrate
        return group.update or job.update or UpdateStrategy()
    if job.type == JobType.SYSTEM and deployment_id:
        return group.update or job.update or UpdateStrategy()
    return None


def migrate_rules(group: TaskGroup) -> MigrateStrategy:
    """Pacing of a drain for a group."""
    return group.migrate or MigrateStrategy()
