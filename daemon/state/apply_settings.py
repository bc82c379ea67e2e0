"""Apply: settings of the scheduler, namespaces, node pools. Pure.

Source: spec/scheduler.md 1.1, 5.1, 5.4; spec/nomad-surface.md B3, B8.
"""

from __future__ import annotations

from msgspec.structs import replace

from daemon.model.errors import Conflict, EncampError, InvalidInput
from daemon.model.scheduler_config import ALGORITHMS, QUARANTINE_MODES, QuarantineConfig
from daemon.model.scopes import BUILT_IN_POOLS, DEFAULT
from daemon.state.commands import (
    NamespaceDelete,
    NamespaceUpsert,
    NodePoolDelete,
    NodePoolUpsert,
    SchedulerConfigSet,
)
from daemon.state.draft import Draft


def apply_scheduler_config(draft: Draft, command: SchedulerConfigSet) -> None:
    """Replace the settings; with `check_index` only if nobody else did meanwhile."""
    stored = draft.tables.scheduler_config
    refused = _bad_algorithm(command.config.scheduler_algorithm) or _bad_quarantine(command.config.quarantine)
    if refused is None and command.check_index is not None and command.check_index != stored.modify_index:
        refused = Conflict(
            f"the scheduler's settings are at index {stored.modify_index}, not {command.check_index}: "
            "somebody has changed them; read them again",
            modify_index=stored.modify_index,
        )
    if refused is not None:
        draft.changes.result = refused
        return
    config = replace(
        command.config, create_index=stored.create_index or draft.index, modify_index=draft.index
    )
    draft.set_scheduler_config(config)


def apply_namespace(draft: Draft, command: NamespaceUpsert) -> None:
    """Create or change a namespace."""
    stored = draft.tables.namespaces.get(command.namespace.name)
    draft.put_namespace(
        replace(
            command.namespace,
            create_index=stored.create_index if stored else draft.index,
            modify_index=draft.index,
        )
    )


def apply_namespace_delete(draft: Draft, command: NamespaceDelete) -> None:
    """Remove a namespace that holds nothing."""
    name = command.name
    if name == DEFAULT:
        draft.changes.result = InvalidInput(f"the namespace {name!r} is always there", namespace=name)
        return
    holds = min((job.id for job in draft.tables.jobs.values() if job.namespace == name), default=None)
    if holds is not None:
        draft.changes.result = Conflict(
            f"namespace {name!r} still holds jobs, as {holds!r}; purge them first", namespace=name
        )
    elif not draft.remove_namespace(name):
        draft.drop(name, "there is no such namespace")


def apply_node_pool(draft: Draft, command: NodePoolUpsert) -> None:
    """Create or change a pool."""
    pool = command.pool
    own = pool.scheduler_configuration
    refused = _bad_algorithm(own.scheduler_algorithm) if own and own.scheduler_algorithm else None
    if refused is not None:
        draft.changes.result = refused
        return
    stored = draft.tables.node_pools.get(pool.name)
    draft.put_node_pool(
        replace(pool, create_index=stored.create_index if stored else draft.index, modify_index=draft.index)
    )


def apply_node_pool_delete(draft: Draft, command: NodePoolDelete) -> None:
    """Remove a pool that no node is in and no live job asks for."""
    name = command.name
    if name in BUILT_IN_POOLS:
        draft.changes.result = InvalidInput(f"the node pool {name!r} is always there", node_pool=name)
        return
    node = min((node.id for node in draft.tables.nodes.values() if node.node_pool == name), default=None)
    job = min((j.id for j in draft.tables.jobs.values() if j.node_pool == name and not j.stop), default=None)
    if node is not None or job is not None:
        what = f"node {node} is in it" if node is not None else f"job {job!r} asks for it"
        draft.changes.result = Conflict(f"node pool {name!r} is in use: {what}", node_pool=name)
    elif not draft.remove_node_pool(name):
        draft.drop(name, "there is no such node pool")


def _bad_algorithm(algorithm: str) -> EncampError | None:
    if algorithm in ALGORITHMS:
        return None
    known = " or ".join(ALGORITHMS)
    return InvalidInput(f"the scheduler's algorithm is {known}, not {algorithm!r}")


def _bad_quarantine(config: QuarantineConfig) -> EncampError | None:
    if config.mode not in QUARANTINE_MODES:
        return InvalidInput(f"quarantine is {', '.join(QUARANTINE_MODES)}; not {config.mode!r}")
    if config.jobs < 1:
        return InvalidInput(f"quarantine after failures of at least 1 job, not {config.jobs}")
    if not 0 <= config.share_percent <= 100:
        return InvalidInput(f"the share of quarantined nodes is 0 to 100 percent, not {config.share_percent}")
    if config.half_life_ns <= 0:
        return InvalidInput(f"the half-life of failures is more than 0, not {config.half_life_ns} ns")
    return None
