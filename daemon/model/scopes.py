"""Namespaces of jobs and pools of nodes: the records by which a cluster is divided. Pure.

Theory: `default` (both) and the pool `all`, which is every node, are there always and are stored only when somebody has
changed them. A pool may have its own settings for the scheduler; what it leaves open is the cluster's.

Source: spec/scheduler.md 1.1, 5.1; spec/nomad-surface.md B8.
"""

from __future__ import annotations

from msgspec.structs import replace

from daemon.model.base import Wire
from daemon.model.scheduler_config import SchedulerConfig

DEFAULT = "default"
#: the pool that every node is in, besides its own.
ALL = "all"
BUILT_IN_POOLS = (ALL, DEFAULT)


class Namespace(Wire, frozen=True, kw_only=True):
    """A space of job ids."""

    name: str
    description: str = ""
    meta: dict[str, str] = {}
    create_index: int = 0
    modify_index: int = 0


class PoolSchedulerConfig(Wire, frozen=True, kw_only=True):
    """What a pool sets for itself; "" and None: as the cluster."""

    scheduler_algorithm: str = ""
    memory_oversubscription_enabled: bool | None = None

    def over(self, config: SchedulerConfig) -> SchedulerConfig:
        """The cluster's settings with the pool's own."""
        memory = self.memory_oversubscription_enabled
        return replace(
            config,
            scheduler_algorithm=self.scheduler_algorithm or config.scheduler_algorithm,
            memory_oversubscription_enabled=config.memory_oversubscription_enabled
            if memory is None
            else memory,
        )


class NodePool(Wire, frozen=True, kw_only=True):
    """A set of nodes that jobs ask for by name."""

    name: str
    description: str = ""
    meta: dict[str, str] = {}
    scheduler_configuration: PoolSchedulerConfig | None = None
    create_index: int = 0
    modify_index: int = 0
