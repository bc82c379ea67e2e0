"""Reading namespaces and node pools, those that are always there included. Pure."""

from __future__ import annotations

from daemon.model.scheduler_config import SchedulerConfig
from daemon.model.scopes import BUILT_IN_POOLS, DEFAULT, Namespace, NodePool
from daemon.state.tables import Tables


class Scopes:
    """A view of the tables; cheap to make."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def config_for(self, pool: str) -> SchedulerConfig:
        """The scheduler's settings as they hold for jobs of that pool."""
        own = self._tables.node_pools.get(pool)
        config = self._tables.scheduler_config
        return own.scheduler_configuration.over(config) if own and own.scheduler_configuration else config

    def namespace(self, name: str) -> Namespace | None:
        """One namespace; `default` is always there."""
        return self._tables.namespaces.get(name) or (Namespace(name=name) if name == DEFAULT else None)

    def namespaces(self) -> list[str]:
        """Names of all namespaces, sorted."""
        return sorted({DEFAULT, *(space.name for space in self._tables.namespaces.values())})

    def node_pool(self, name: str) -> NodePool | None:
        """One pool; `default` and `all` are always there."""
        return self._tables.node_pools.get(name) or (NodePool(name=name) if name in BUILT_IN_POOLS else None)

    def node_pools(self) -> list[str]:
        """Names of all pools, sorted."""
        return sorted({*BUILT_IN_POOLS, *(pool.name for pool in self._tables.node_pools.values())})
