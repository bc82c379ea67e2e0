"""Clusters in virtual time for the tests: made warm (everybody knows everybody) or by joining."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from typing import Any

from gossip.config import LAN, Config, Timing
from gossip.core.table import Record
from gossip.memory.world import Host, World
from gossip.model import Address, Status

LABEL = "blue"


def address_of(number: int) -> Address:
    return (f"10.0.{number // 250}.{number % 250 + 1}", 7946)


def config_of(number: int, timing: Timing = LAN, **fields: Any) -> Config:
    return Config(name=f"n{number}", label=LABEL, timing=timing, **fields)


def warm(world: World, size: int, timing: Timing = LAN, **fields: Any) -> list[Host]:
    """Members that know each other from the start, with nothing left to tell.

    The records are put in directly: a thousand members would otherwise introduce each other a million times.
    """
    hosts = [world.add(config_of(number, timing, **fields), address_of(number)) for number in range(size)]
    gc.disable()  # a million records are made and none is garbage
    for host in hosts:
        context = host.core.context
        table = context.table
        for other in hosts:
            if other is not host:
                known, record = other.core.membership.me, Record(other.name, world.now)
                record.host, record.port, record.meta = known.host, known.port, known.meta
                record.member_id, record.versions = known.member_id, known.versions
                record.incarnation = record.facts_incarnation = 1
                record.in_ring = True
                table.records[record.name] = record
                table.ring.append(record)
        host.rng.shuffle(table.ring)
        table.living = size
        context.about_members.withdraw(host.name)
        host.events.clear()
    gc.enable()
    return hosts


def joined(
    world: World, size: int, timing: Timing = LAN, within_s: float = 60.0, **fields: Any
) -> list[Host]:
    """Members that joined through the first one."""
    hosts: list[Host] = []
    for number in range(size):
        host = world.add(config_of(number, timing, **fields), address_of(number))
        hosts.append(host)
        if number:
            join(world, host, hosts[0])
    assert world.run(within_s, lambda: agree(hosts), check_every_s=0.1), told(hosts)
    return hosts


def join(world: World, host: Host, through: Host, within_s: float = 30.0) -> str:
    """Join and wait for the outcome: an error text, empty on success."""
    op = host.next_op()
    host.do(host.core.join, op, through.address)
    assert world.run(within_s, lambda: op in host.joins), "the join did not end"
    return host.joins[op]


def view(host: Host) -> dict[str, str]:
    return {member.name: member.status.value for member in host.core.members()}


def sees(host: Host, name: str, *statuses: Status) -> bool:
    record = host.core.context.table.get(name)
    return record is not None and record.status() in statuses


def all_see(hosts: Iterable[Host], name: str, *statuses: Status) -> Callable[[], bool]:
    watchers = [host for host in hosts if host.name != name]
    return lambda: all(sees(host, name, *statuses) for host in watchers)


def table_of(host: Host) -> list[tuple[object, ...]]:
    """What must be equal everywhere: the living, with incarnation, address, tags and status."""
    return [
        (member.name, member.incarnation, member.host, member.port, dict(member.tags), member.status)
        for member in host.core.members()
        if member.status in (Status.ALIVE, Status.LEAVING)
    ]


def agree(hosts: Iterable[Host]) -> bool:
    """All live hosts have the same table, which has exactly them."""
    live = [host for host in hosts if host.up]
    names = sorted(host.name for host in live)
    first = table_of(live[0])
    if [row[0] for row in first] != names:
        return False
    return all(table_of(host) == first for host in live[1:])


def told(hosts: Iterable[Host]) -> str:
    """All views, for a failing test's message."""
    return "\n".join(f"{host.name}{'' if host.up else ' (down)'}: {view(host)}" for host in hosts)
