"""The environment of a task and the interpolation of its texts."""

from __future__ import annotations

import pytest

from daemon.model.alloc import Allocation
from daemon.model.job import Job, Task, TaskGroup
from daemon.model.resources import AllocatedPort, AllocatedResources, AllocatedShared, AllocatedTask
from daemon.node.env.interpolate import Interpolator, NodeFacts
from daemon.node.env.taskenv import INSIDE, EnvInput, host_environment, task_environment
from daemon.node.runner.taskconfig import Placed, driver_ports, port_mappings
from plugins.driver import PortMapping

FACTS = NodeFacts(
    id="node-id",
    name="node-name",
    datacenter="dc2",
    node_class="big",
    node_pool="pool",
    region="eu",
    attributes={"cpu.arch": "amd64"},
    meta={"rack": "r7"},
)


def make(task, *others, ports=(), job=None, **facts):
    group = TaskGroup(name="cache", tasks=(task, *others), meta={"tier": "group", "owner": "g"})
    job = job or Job(id="shop/cache", name="Cache", meta={"tier": "job", "a-b": "dash"}, task_groups=(group,))
    alloc = Allocation(
        id="12345678-0000-4000-8000-000000000000",
        name="shop/cache.cache[3]",
        job_id=job.id,
        task_group="cache",
        node_id="node-id",
        allocated_resources=AllocatedResources(
            tasks={
                task.name: AllocatedTask(
                    cpu_shares=500, memory_mb=256, memory_max_mb=512, reserved_cores=(3, 1)
                )
            },
            shared=AllocatedShared(ports=ports),
        ),
    )
    return EnvInput(alloc=alloc, job=job, group=group, task=task, facts=FACTS, paths=INSIDE, **facts)


def test_names_places_limits_and_meta():
    env, _ = task_environment(make(Task(name="redis", driver="docker", meta={"owner": "t"})))
    assert env == {
        "NOMAD_ALLOC_DIR": "/alloc",
        "NOMAD_TASK_DIR": "/local",
        "NOMAD_SECRETS_DIR": "/secrets",
        "NOMAD_ALLOC_ID": "12345678-0000-4000-8000-000000000000",
        "NOMAD_SHORT_ALLOC_ID": "12345678",
        "NOMAD_ALLOC_NAME": "shop/cache.cache[3]",
        "NOMAD_ALLOC_INDEX": "3",
        "NOMAD_TASK_NAME": "redis",
        "NOMAD_GROUP_NAME": "cache",
        "NOMAD_JOB_ID": "shop/cache",
        "NOMAD_JOB_NAME": "Cache",
        "NOMAD_NAMESPACE": "default",
        "NOMAD_DC": "dc2",
        "NOMAD_REGION": "eu",
        "NOMAD_CPU_LIMIT": "500",
        "NOMAD_CPU_CORES": "1,3",
        "NOMAD_MEMORY_LIMIT": "256",
        "NOMAD_MEMORY_MAX_LIMIT": "512",
        "NOMAD_META_tier": "group",
        "NOMAD_META_TIER": "group",
        "NOMAD_META_owner": "t",
        "NOMAD_META_OWNER": "t",
        "NOMAD_META_a_b": "dash",
        "NOMAD_META_A_B": "dash",
    }


def ports_of(env):
    return {name: value for name, value in env.items() if "PORT_" in name or "ADDR_" in name or "IP_" in name}


def test_a_group_port_with_to():
    port = AllocatedPort(label="http", value=23456, to=8080, host_ip="10.0.0.5")
    env, _ = task_environment(make(Task(name="web", driver="docker"), ports=(port,)))
    assert ports_of(env) == {
        "NOMAD_IP_http": "10.0.0.5",
        "NOMAD_PORT_http": "8080",
        "NOMAD_ADDR_http": "10.0.0.5:23456",
        "NOMAD_HOST_IP_http": "10.0.0.5",
        "NOMAD_HOST_PORT_http": "23456",
        "NOMAD_HOST_ADDR_http": "10.0.0.5:23456",
        "NOMAD_ALLOC_PORT_http": "8080",
    }


@pytest.mark.parametrize("to", [0, -1])
def test_a_port_without_to_is_the_hosts(to):
    port = AllocatedPort(label="my-port", value=23456, to=to)
    env, interpolator = task_environment(
        make(Task(name="web", driver="raw_exec"), ports=(port,), host_ip="10.0.0.9")
    )
    assert env["NOMAD_PORT_my_port"] == "23456"
    assert env["NOMAD_ADDR_my_port"] == "10.0.0.9:23456"
    assert interpolator.text("${NOMAD_PORT_my-port}") == "23456"


def test_ports_of_a_classic_job_file():
    ports = (
        AllocatedPort(label="redis-db", value=21000, host_ip="10.0.0.5"),
        AllocatedPort(label="web-http", value=22000, host_ip="10.0.0.5"),
    )
    redis = Task(
        name="redis", driver="docker", port_labels={"db": "redis-db"}, config={"port_map": {"db": 6379}}
    )
    web = Task(name="web", driver="docker", port_labels={"http": "web-http"})
    source = make(redis, web, ports=ports, driver_ports=driver_ports(redis.config))
    env, _ = task_environment(source)
    assert env["NOMAD_PORT_db"] == "6379"
    assert env["NOMAD_ADDR_db"] == "10.0.0.5:21000"
    assert env["NOMAD_HOST_PORT_db"] == "21000"
    assert env["NOMAD_ADDR_redis_db"] == "10.0.0.5:21000"
    assert env["NOMAD_PORT_web_http"] == "22000"
    assert env["NOMAD_ADDR_web_http"] == "10.0.0.5:22000"
    placed = Placed(alloc=source.alloc, job=source.job, group=source.group)
    assert port_mappings(placed, redis) == (PortMapping(label="db", value=21000, host_ip="10.0.0.5"),)


@pytest.mark.parametrize("config", [{"port_map": {"db": "6379"}}, {"port_map": [{"db": 6379}]}])
def test_a_port_map_in_all_its_shapes(config):
    assert driver_ports(config) == {"db": 6379}
    assert driver_ports({}) == {}


def test_the_jobs_own_variables_come_last_and_are_interpolated():
    task = Task(
        name="web",
        driver="raw_exec",
        env={
            "WHERE": "${node.unique.name}/${meta.rack}/${attr.cpu.arch}",
            "PATH": "/opt:${PATH}",
            "NOMAD_DC": "mine",
        },
    )
    env, interpolator = task_environment(make(task, host_env={"PATH": "/bin", "HOME": "/root"}))
    assert env["WHERE"] == "node-name/r7/amd64"
    assert env["PATH"] == "/opt:/bin"
    assert (env["HOME"], env["NOMAD_DC"]) == ("/root", "mine")
    assert interpolator.text("${WHERE}") == "node-name/r7/amd64"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("${NOMAD_X}", "nomad"),
        ('${env["NOMAD_X"]}', "nomad"),
        ("${env['NOMAD_X']}", "nomad"),
        ("${env.NOMAD_X}", "nomad"),
        ("${ NOMAD_X }", "nomad"),
        ("${env.NOTHING}", ""),
        ("${node.unique.id}-${node.class}-${node.pool}-${node.region}", "node-id-big-pool-eu"),
        ("${node.datacenter}", "dc2"),
        ("${meta.nothing}", "${meta.nothing}"),
        ("${OTHER:-default} $X ${", "${OTHER:-default} $X ${"),
        ("${DEEP}", "${NOMAD_X}"),
        ("", ""),
    ],
)
def test_targets(text, found):
    interpolator = Interpolator({"NOMAD_X": "nomad", "DEEP": "${NOMAD_X}"}, FACTS)
    assert interpolator.text(text) == found


def test_trees_are_interpolated_but_not_their_keys():
    interpolator = Interpolator({"A": "1"}, FACTS)
    tree = {"args": ["${A}", 2, True], "${A}": {"x": ("${A}",)}, "n": None}
    assert interpolator.value(tree) == {"args": ["1", 2, True], "${A}": {"x": ["1"]}, "n": None}


def test_the_agents_secrets_do_not_reach_tasks():
    environ = {"PATH": "/bin", "NOMAD_TOKEN": "x", "VAULT_TOKEN": "x", "ENCAMP_TOKEN": "x", "MINE": "x"}
    assert host_environment(environ, frozenset({"MINE"})) == {"PATH": "/bin"}
