"""Ports on host networks: which nodes offer one, the address, and numbers that a network keeps back."""

from __future__ import annotations

import msgspec
import pytest

from daemon.model.node import HostNetwork, Node
from daemon.model.resources import Network, Port
from tests.scheduler.fleetkit import MiniWorld, make_group, make_job, make_node


def node(name: str, *networks: HostNetwork, **facts: object) -> Node:
    plain = make_node(name, **facts)
    resources = msgspec.structs.replace(plain.node_resources, host_networks={n.name: n for n in networks})
    return msgspec.structs.replace(plain, node_resources=resources)


def public(address: str, *reserved: int) -> HostNetwork:
    return HostNetwork(name="public", addresses=(address, "198.51.100.99"), reserved_ports=reserved)


def ask(host_network: str, value: int = 0) -> Network:
    port = Port(label="out", value=value, host_network=host_network)
    inside = (Port(label="in"),)
    if value:
        return Network(reserved_ports=(port,), dynamic_ports=inside)
    return Network(dynamic_ports=(port, *inside))


@pytest.mark.parametrize("value", [0, 8080])
def test_a_port_gets_its_address_from_the_alias_and_the_others_the_nodes_own(value: int) -> None:
    nodes = [node("a"), node("b", public("198.51.100.1")), node("c", public("198.51.100.2"))]
    world = MiniWorld(nodes)
    world.run(make_job(make_group(count=2, networks=(ask("public", value),), cpu=3000)))
    got = {
        alloc.node_id: {port.label: port.host_ip for port in alloc.allocated_resources.shared.ports}
        for alloc in world.live()
    }
    assert got == {
        "node-b": {"out": "198.51.100.1", "in": "10.0.0.1"},
        "node-c": {"out": "198.51.100.2", "in": "10.0.0.1"},
    }


def test_a_missing_alias_is_said_with_what_would_help() -> None:
    attempt = MiniWorld([node("a")]).run(make_job(make_group(networks=(ask("public"),))))
    metric = attempt.evaluation.failed_tg_allocs["web"]
    assert metric.constraint_filtered == {'missing host network "public"': 1}
    assert 'it has no host network "public"' in str(metric)
    assert 'configure host_network "public" on node "a"' in str(metric)


def test_the_alias_may_differ_from_node_to_node() -> None:
    inner = HostNetwork(name="inner", addresses=("192.0.2.1",))
    nodes = [
        node("a", public("198.51.100.1"), meta={"net": "public"}),
        node("b", inner, meta={"net": "inner"}),
        node("c", inner, meta={"net": "public"}),
        node("d", meta={"net": "default"}),
        node("e", inner),
    ]
    world = MiniWorld(nodes)
    world.run(make_job(make_group(count=5, networks=(ask("${meta.net}"),), cpu=3000)))
    got = {alloc.node_id: alloc.allocated_resources.shared.ports[0].host_ip for alloc in world.live()}
    assert got == {"node-a": "198.51.100.1", "node-b": "192.0.2.1", "node-d": "10.0.0.1"}


def test_what_a_network_keeps_back_is_kept_back_on_the_node() -> None:
    world = MiniWorld([node("a", public("198.51.100.1", 8080))])
    attempt = world.run(make_job(make_group(networks=(ask("public", 8080),))))
    assert not world.live() and "web" in attempt.evaluation.failed_tg_allocs
    world.run(make_job(make_group(networks=(ask("public", 8081),)), id="other"))
    assert len(world.live()) == 1


def test_a_name_that_comes_later_opens_the_node() -> None:
    world = MiniWorld([node("a")])
    job = make_job(make_group(networks=(ask("public"),)))
    world.run(job)
    assert not world.live()
    world.set_node(node("a", public("198.51.100.1")))
    world.run(job)
    assert len(world.live()) == 1
