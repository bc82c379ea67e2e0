"""Settings of the scheduler, namespaces and node pools: rules on a state, effects on a server role in memory."""

from __future__ import annotations

import pytest

from daemon.model.enums import EvalStatus, JobType
from daemon.model.errors import Conflict, EncampError, InvalidInput, PermissionDenied
from daemon.model.resources import Resources
from daemon.model.scheduler_config import SPREAD, SchedulerConfig
from daemon.model.scopes import Namespace, NodePool, PoolSchedulerConfig
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.state import commands as c
from daemon.state.state import State
from tests.server.serverkit import Kit, make_job
from tests.state.state_factory import World


async def set_config(kit: Kit, cas: int | None = None, **settings: object) -> m.SchedulerConfigResponse:
    config = SchedulerConfig(**settings)  # type: ignore[arg-type]
    request = m.SchedulerConfigRequest(scheduler_config=config, cas=cas is not None, modify_index=cas or 0)
    return await kit.call(methods.SCHEDULER_SET_CONFIG, request)


# ---- the state ----


def test_the_settings_are_replaced_and_checked() -> None:
    world = World()
    spread = SchedulerConfig(scheduler_algorithm=SPREAD)
    assert world.apply(c.SchedulerConfigSet(time_ns=1, config=spread, check_index=0)).tables == ("settings",)
    stored = world.state.scheduler_config
    assert (stored.scheduler_algorithm, stored.create_index, stored.modify_index) == (SPREAD, 1, 1)
    again = world.apply(c.SchedulerConfigSet(time_ns=1, config=SchedulerConfig(), check_index=0))
    assert isinstance(again.result, Conflict) and world.state.scheduler_config == stored
    bad = c.SchedulerConfigSet(time_ns=1, config=SchedulerConfig(scheduler_algorithm="best"))
    assert isinstance(world.apply(bad).result, InvalidInput)


def test_a_pool_overrides_what_it_sets() -> None:
    world = World()
    own = PoolSchedulerConfig(scheduler_algorithm=SPREAD)
    world.apply(c.NodePoolUpsert(time_ns=1, pool=NodePool(name="gpu", scheduler_configuration=own)))
    quiet = SchedulerConfig(memory_oversubscription_enabled=False)
    world.apply(c.SchedulerConfigSet(time_ns=1, config=quiet))
    assert world.state.scopes.config_for("gpu").scheduler_algorithm == SPREAD
    assert not world.state.scopes.config_for("gpu").memory_oversubscription_enabled
    assert world.state.scopes.config_for("default") == world.state.scheduler_config
    loud = PoolSchedulerConfig(memory_oversubscription_enabled=True)
    world.apply(c.NodePoolUpsert(time_ns=1, pool=NodePool(name="gpu", scheduler_configuration=loud)))
    assert world.state.scopes.config_for("gpu").memory_oversubscription_enabled
    bad = NodePool(name="x", scheduler_configuration=PoolSchedulerConfig(scheduler_algorithm="best"))
    assert isinstance(world.apply(c.NodePoolUpsert(time_ns=1, pool=bad)).result, InvalidInput)


def test_namespaces_and_pools_go_only_when_they_are_empty() -> None:
    world = World()
    for name in ("default", "all"):
        assert isinstance(world.apply(c.NodePoolDelete(time_ns=1, name=name)).result, InvalidInput)
    assert isinstance(world.apply(c.NamespaceDelete(time_ns=1, name="default")).result, InvalidInput)
    world.apply(c.NamespaceUpsert(time_ns=1, namespace=Namespace(name="blue")))
    node = world.node(1, node_pool="gpu")
    assert world.state.scopes.namespaces() == ["blue", "default"]
    assert world.state.scopes.node_pools() == ["all", "default", "gpu"]
    assert isinstance(world.apply(c.NodePoolDelete(time_ns=1, name="gpu")).result, Conflict)
    world.apply(c.Collect(time_ns=1, nodes=(node.id,)))
    assert world.apply(c.NamespaceDelete(time_ns=1, name="blue")).result is None
    assert world.state.scopes.namespace("blue") is None


def test_all_of_them_are_part_of_a_snapshot() -> None:
    world = World()
    world.node(1, node_pool="gpu")
    world.apply(c.NamespaceUpsert(time_ns=1, namespace=Namespace(name="blue")))
    world.apply(c.SchedulerConfigSet(time_ns=1, config=SchedulerConfig(pause_eval_broker=True)))
    again = State.restore(world.state.snapshot().pieces())
    assert again.scheduler_config == world.state.scheduler_config
    assert again.scopes.namespaces() == world.state.scopes.namespaces()
    assert again.scopes.node_pool("gpu") == world.state.scopes.node_pool("gpu")
    assert list(again.snapshot().pieces()) == list(world.state.snapshot().pieces())


# ---- a whole server ----


async def test_two_operators_do_not_undo_each_others_settings(kit: Kit) -> None:
    first = await set_config(kit, cas=0, scheduler_algorithm=SPREAD)
    assert first.updated and first.scheduler_config.modify_index > 0
    with pytest.raises(EncampError, match="somebody has changed them"):
        await set_config(kit, cas=0)
    read = await kit.call(methods.SCHEDULER_GET_CONFIG, m.Query())
    assert read.scheduler_config == first.scheduler_config


async def test_the_spread_algorithm_holds_from_the_next_evaluation_on(kit: Kit) -> None:
    for name in ("n1", "n2"):
        await kit.node(name)
    await kit.run_and_settle(make_job("packed", type=JobType.BATCH, count=2))
    await set_config(kit, scheduler_algorithm=SPREAD)
    await kit.run_and_settle(make_job("even", type=JobType.BATCH, count=2))
    assert len({alloc.node_id for alloc in kit.allocs("even")}) == 2


async def test_paused_evaluations_wait_and_go_on(kit: Kit) -> None:
    await kit.node()
    await set_config(kit, pause_eval_broker=True)
    answer = await kit.run(make_job())
    assert "paused" in (await kit.why("web")).headline
    await set_config(kit, pause_eval_broker=True)
    waiting = kit.server.context.state.eval(answer.eval_id)
    assert waiting is not None and waiting.status == EvalStatus.PENDING and not kit.allocs("web")
    await set_config(kit)
    assert (await kit.settled(answer.eval_id)).placed


async def test_registration_can_be_closed_while_jobs_can_still_be_stopped(kit: Kit) -> None:
    await kit.run(make_job())
    await set_config(kit, reject_job_registration=True)
    with pytest.raises(PermissionDenied, match="reject_job_registration"):
        await kit.run(make_job())
    await kit.call(methods.JOB_DEREGISTER, m.JobDeregisterRequest(id="web"))


@pytest.mark.parametrize(("enabled", "granted"), [(True, 256), (False, 0)])
async def test_memory_max_is_granted_only_with_oversubscription(
    kit: Kit, enabled: bool, granted: int
) -> None:
    await kit.node()
    await set_config(kit, memory_oversubscription_enabled=enabled)
    task = {"resources": Resources(cpu=100, memory_mb=64, memory_max_mb=256)}
    await kit.run_and_settle(make_job(task=task))
    [alloc] = kit.allocs("web")
    assert alloc.allocated_resources.tasks["t"].memory_max_mb == granted


async def test_unknown_namespaces_and_pools_are_refused_with_the_known_ones(kit: Kit) -> None:
    await kit.node("n1", node_pool="gpu")
    with pytest.raises(InvalidInput, match=r"no node pool 'gpv'; there are: all, default, gpu"):
        await kit.run(make_job(node_pool="gpv"))
    with pytest.raises(InvalidInput, match=r"no namespace 'blue'; there are: default"):
        await kit.run(make_job(namespace="blue"))
    assert (await kit.run_and_settle(make_job(node_pool="gpu"))).placed
    assert (await kit.run_and_settle(make_job("other", node_pool="all"))).placed
    with pytest.raises(InvalidInput, match="every node"):
        await kit.node("n2", node_pool="all")
