"""Mistakes that others made, each under its number in the list of traps."""

from __future__ import annotations

import ast
from pathlib import Path

import msgspec
import pytest

import gossip
from gossip import limits
from gossip.config import LAN
from gossip.core.querying import RESERVED
from gossip.core.queue import BroadcastQueue
from gossip.memory.world import World
from gossip.model import EventKind, State, Status
from gossip.wire import messages as m
from gossip.wire.codec import encode
from tests.gossip.checkers import Watcher
from tests.gossip.cluster import address_of, agree, all_see, config_of, join, joined, sees, told, view, warm

KEY, NEW = b"k" * 32, b"n" * 32


def test_trap_01_equal_incarnation_with_new_tags_after_a_restart() -> None:
    """The restarted member begins at incarnation 1 again, where its old tags are known: it must outbid itself."""
    world = World(1)
    hosts = joined(world, 3)
    old = hosts[2]
    world.kill(old)
    again = world.add(config_of(2, tags={"build": "2"}), old.address)
    assert join(world, again, hosts[0]) == ""
    live = [hosts[0], hosts[1], again]
    assert world.run(2.0, lambda: agree(live), check_every_s=0.05), told(live)
    for host in live:
        record = host.core.context.table.records["n2"]
        assert record.incarnation == 2 and dict(record.member().tags) == {"build": "2"}


@pytest.mark.parametrize(
    ("news", "state"),
    [
        (m.Suspect(incarnation=5, node="x", accuser="n1"), State.SUSPECT),
        (m.Dead(incarnation=5, node="x", accuser="n1"), State.DEAD),
        (m.Dead(incarnation=5, node="x", accuser="x"), State.LEFT),
        (m.Dead(incarnation=4, node="x", accuser="n1"), State.ALIVE),
    ],
)
def test_trap_02_bad_news_before_the_introduction(news: m.Message, state: State) -> None:
    world = World(2)
    (host,) = joined(world, 1)
    packet = host.core.context.envelope.wrap
    host.do(host.core.on_datagram, packet(encode(news)), address_of(1))
    assert "x" not in view(host)
    alive = m.Alive(incarnation=5, node="x", host="10.0.0.99", port=1)
    host.do(host.core.on_datagram, packet(encode(alive)), address_of(1))
    assert host.core.context.table.records["x"].state is state


def test_trap_02_news_of_a_higher_incarnation_waits_for_its_facts() -> None:
    world = World(2)
    (host,) = joined(world, 1)
    packet = host.core.context.envelope.wrap
    for message in (
        m.Alive(incarnation=1, node="x", host="10.0.0.99", port=1),
        m.Suspect(incarnation=3, node="x", accuser="n1"),
        m.Alive(incarnation=3, node="x", host="10.0.0.99", port=1, meta=b"new"),
    ):
        host.do(host.core.on_datagram, packet(encode(message)), address_of(1))
    record = host.core.context.table.records["x"]
    assert (record.state, record.meta, record.facts_incarnation) == (State.SUSPECT, b"new", 3)


@pytest.mark.parametrize("seed", range(10))
def test_trap_03_a_leave_races_with_refutation(seed: int) -> None:
    """Somebody accuses the leaver at every moment of its leave: it must end as left, everywhere."""
    world = World(seed)
    hosts = joined(world, 4)
    leaver = hosts[1]
    world.at(world.now + world.rng.random() * 2, lambda: leaver.do(leaver.core.leave))

    def accuse() -> None:
        record = hosts[0].core.context.table.records["n1"]
        if leaver.up and record.living:
            message = m.Suspect(incarnation=record.incarnation, node="n1", accuser="n0")
            hosts[0].core.context.now = world.now
            hosts[0].core.membership.hear_suspect(message)
        if leaver.up:
            world.at(world.now + 0.05, accuse)

    accuse()
    rest = [hosts[0], hosts[2], hosts[3]]
    assert world.run(20.0, lambda: leaver.has_left)
    assert world.run(60.0, all_see(rest, "n1", Status.LEFT)), told(rest)
    world.run(60.0)
    assert all_see(rest, "n1", Status.LEFT)()


def test_trap_04_a_name_moves_only_after_the_reclaim_time() -> None:
    world = World(4)
    hosts = joined(world, 3)
    world.kill(hosts[2])
    elsewhere = world.add(config_of(2), ("10.9.0.1", 7946))
    assert "is held by" in join(world, elsewhere, hosts[0])
    assert world.run(30.0, all_see(hosts[:2], "n2", Status.FAILED))
    assert "free in" in join(world, elsewhere, hosts[0])
    world.run(LAN.lifecycle.reclaim_s + 1)
    assert join(world, elsewhere, hosts[0]) == ""
    live = [hosts[0], hosts[1], elsewhere]
    assert world.run(5.0, lambda: agree(live)), told(live)
    assert hosts[1].core.context.table.records["n2"].address == ("10.9.0.1", 7946)


def test_trap_04_a_lasting_id_moves_at_once_and_a_living_twin_is_refused() -> None:
    world = World(5)
    hosts = joined(world, 2)
    first = world.add(config_of(7, member_id="uuid-7"), address_of(7))
    assert join(world, first, hosts[0]) == ""
    world.run(1.0)
    world.kill(first)
    moved = world.add(config_of(7, member_id="uuid-7"), ("10.9.0.1", 7946))
    assert join(world, moved, hosts[0]) == ""
    live = [*hosts, moved]
    assert world.run(5.0, lambda: agree(live)), told(live)
    twin = world.add(config_of(7), ("10.9.0.2", 7946))
    assert "is held by" in join(world, twin, hosts[0])
    world.run(60.0)
    assert hosts[0].core.context.table.records["n7"].address == ("10.9.0.1", 7946)
    assert hosts[0].core.metrics().buried == 0


def test_trap_04_clones_with_one_id_do_not_outbid_each_other_for_ever() -> None:
    world = World(6)
    hosts = joined(world, 2)
    clones = [world.add(config_of(7, member_id="same"), ("10.9.0.1", 7946))]
    join(world, clones[0], hosts[0])
    clones.append(world.add(config_of(7, member_id="same"), ("10.9.0.2", 7946)))
    join(world, clones[1], hosts[0])
    world.run(50.0)
    assert hosts[0].core.context.table.records["n7"].incarnation < 60


def test_trap_05_two_clusters_share_an_address_after_a_machine_was_recycled() -> None:
    world = World(7)
    blue = joined(world, 3)
    world.kill(blue[2])
    gold = world.add(msgspec.structs.replace(config_of(50), label="gold"), blue[2].address)
    gold_too = world.add(msgspec.structs.replace(config_of(51), label="gold"), address_of(51))
    assert join(world, gold_too, gold) == ""
    assert join(world, gold_too, blue[0]) != ""
    assert world.run(30.0, all_see(blue[:2], "n2", Status.FAILED)), told(blue)
    world.run(120.0)
    assert sorted(view(gold)) == ["n50", "n51"]
    assert sorted(view(blue[0])) == ["n0", "n1", "n2"]
    assert gold.core.metrics().decode_errors["label"] > 0


@pytest.mark.parametrize("dead", [False, True])
def test_trap_06_tombstones_of_every_kind_are_bounded_and_end(
    dead: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TOMBSTONES_MAX", 20)
    world = World(8)
    life = msgspec.structs.replace(LAN.lifecycle, tombstone_timeout_s=900.0, reconnect_timeout_s=900.0)
    hosts = joined(world, 2, msgspec.structs.replace(LAN, lifecycle=life))
    packet = hosts[0].core.context.envelope.wrap
    for number in range(100, 160):
        name = f"n{number}"
        for host in hosts:
            alive = m.Alive(incarnation=1, node=name, host="10.9.9.9", port=number)
            host.do(host.core.on_datagram, packet(encode(alive)), address_of(1))
        gone = m.Dead(incarnation=1, node=name, accuser="n1" if dead else name)
        hosts[0].do(hosts[0].core.on_datagram, packet(encode(gone)), address_of(1))
    world.run(2 * LAN.lifecycle.reap_interval_s)
    for host in hosts:
        assert host.core.metrics().tombstones == 20
    world.run(life.tombstone_timeout_s + 2 * life.reap_interval_s + 60)
    for host in hosts:
        assert view(host) == {"n0": "alive", "n1": "alive"}
        reaped = [event for event in host.events if event.kind is EventKind.REAP]
        assert len(reaped) == 60


def test_trap_07_leave_intents_do_not_storm_in_a_trio() -> None:
    world = World(9)
    watcher = Watcher(world)
    hosts = joined(world, 3)
    watcher.quiet()
    for _ in range(20):  # about a living member, about a failed one, about nobody
        hosts[0].do(hosts[0].core.force_leave, "n1")
        hosts[1].do(hosts[1].core.force_leave, "nobody")
        world.run(0.1)
    watcher.quiet(20.0)
    assert world.run(1.0, lambda: agree(hosts)), told(hosts)
    before = watcher.packets
    world.run(30.0)
    assert watcher.packets - before < 30 * 3 * 3  # a ping and an ack per member and second


def test_trap_08_a_rotation_waits_for_who_is_down_and_locks_nobody_out() -> None:
    world = World(10)
    hosts = joined(world, 4, keys=(KEY,))
    world.kill(hosts[3])
    assert world.run(30.0, all_see(hosts[:3], "n3", Status.FAILED))
    assert hosts[0].core.keys.absent() == {"n3": "failed; it would be locked out"}
    again = world.add(config_of(3, keys=(KEY,)), hosts[3].address)
    assert join(world, again, hosts[0]) == ""
    live = [*hosts[:3], again]
    assert world.run(60.0, lambda: agree(live))
    assert hosts[0].core.keys.absent() == {}
    for verb, key in (("install", NEW), ("use", NEW), ("remove", KEY)):
        op = hosts[0].next_op()
        hosts[0].do(hosts[0].core.query, op, f"{RESERVED}{verb}-key", key)
        for host in live:  # push/pulls in the middle of each step
            host.do(host.core.join, host.next_op(), live[0].address)
        assert world.run(5.0, lambda op=op: op in hosts[0].results), verb
        assert len(hosts[0].results[op].replies) == 4, verb
    assert all(host.core.keyring.keys == (NEW,) for host in live)
    world.run(60.0)
    assert agree(live)
    assert all(host.core.metrics().decode_errors == {} for host in live)
    late = world.add(config_of(9, keys=(KEY,)), address_of(9))
    assert join(world, late, hosts[0]) != ""


def test_trap_08_keys_are_not_taken_over_a_clear_channel() -> None:
    world = World(11)
    hosts = joined(world, 2, keys=(KEY,), verify_incoming=False, verify_outgoing=False)
    hosts[0].do(hosts[0].core.query, 77, f"{RESERVED}install-key", NEW)
    assert world.run(5.0, lambda: 77 in hosts[0].results)
    assert all(b"encrypted" in reply.payload for reply in hosts[0].results[77].replies)
    assert all(host.core.keyring.keys == (KEY,) for host in hosts)


@pytest.mark.parametrize("everywhere", [False, True])
def test_trap_09_packets_blocked_streams_open(everywhere: bool) -> None:
    """Nobody is buried, and the log names the cause."""
    world = World(12)
    watcher = Watcher(world)
    notices = []
    world.on_notice = lambda host, notice: notices.append(notice.kind)
    hosts = joined(world, 4)
    for one in hosts:
        for two in hosts if everywhere else hosts[:1]:
            world.links.no_packets |= {(one.address, two.address), (two.address, one.address)}
    world.run(180.0)
    assert watcher.false_deaths == []
    assert "udp_blocked" in notices and sum(host.core.metrics().probes_by_stream for host in hosts) > 0
    hosts[1].do(hosts[1].core.set_tags, {"v": "2"})
    assert world.run(90.0, lambda: agree(hosts), check_every_s=0.5), told(hosts)


def test_trap_09_streams_blocked_packets_open() -> None:
    """Membership and news go on; only joins fail, and say so."""
    world = World(13)
    watcher = Watcher(world)
    hosts = joined(world, 4)
    world.links.no_streams |= {(one.address, two.address) for one in hosts for two in hosts}
    world.run(120.0)
    hosts[1].do(hosts[1].core.set_tags, {"v": "2"})
    assert world.run(5.0, lambda: agree(hosts)), told(hosts)
    assert watcher.false_deaths == []
    assert join(world, hosts[0], hosts[1]) == "no answer in time"


@pytest.mark.parametrize("seed", range(10))
def test_trap_10_a_paused_member_buries_nobody(seed: int) -> None:
    world = World(seed)
    watcher = Watcher(world)
    hosts = joined(world, 5)
    world.links.loss = 0.05
    world.run(world.rng.random() * 3)
    sleeper = hosts[2]
    if seed % 2:  # it also had a suspect in its books
        record = sleeper.core.context.table.records["n0"]
        sleeper.core.context.now = world.now
        sleeper.core.membership.hear_suspect(
            m.Suspect(incarnation=record.incarnation, node="n0", accuser="n2")
        )
    world.stop(sleeper, 20.0)
    world.run(60.0)
    assert sleeper.core.metrics().buried == 0 and sleeper.core.metrics().late >= 1
    assert [text for text in watcher.false_deaths if "buries n2" not in text] == []
    assert world.run(60.0, lambda: agree(hosts)), told(hosts)


def test_trap_11_nothing_looks_at_the_wall_clock() -> None:
    """A step of the clock changes nothing, because nobody asks for the time of day."""
    wall = {
        ("time", "time"),
        ("time", "time_ns"),
        ("datetime", "now"),
        ("datetime", "utcnow"),
        ("date", "today"),
    }
    for path in sorted(Path(gossip.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) not in wall, f"{path}:{node.lineno}"


def test_trap_25_queues_are_bounded_where_things_enter() -> None:
    queue = BroadcastQueue(depth_max=100)
    ended = []
    for number in range(100):
        queue.push("", b"old%d" % number, lambda number=number: ended.append(number))
    queue.take(600, 255, 4)
    queue.push("", b"new")
    assert len(queue) == 100 and queue.dropped == 1 and len(ended) == 1
    assert queue.take(5, 255, 4) == [b"new"]  # what was told most gave way, the new is there


def test_trap_25_storms_of_every_message_leave_bounded_memory() -> None:
    world = World(25)
    (host,) = warm(world, 1)
    core = host.core
    for number in range(6000):
        name = f"x{number}"
        core.context.now += 0.0001
        core.intents.hear_leave(m.LeaveIntent(time=number + 1, node=name))
        core.user_events.hear(m.UserEventMessage(time=number + 1, name="e", payload=name.encode()))
        query = m.Query(time=number + 1, id=number, source="q", host="10.0.0.1", port=1, name="who")
        core.querying.hear(query, sealed=True)
        core.membership.hear_suspect(m.Suspect(incarnation=1, node=name, accuser="y"))
        core.prober.hear_indirect_ping(
            m.IndirectPing(seq=number, node=name, host="10.0.0.1", port=1), ("10.0.0.1", 1)
        )
    core.check_invariants()
    assert core.context.queue_depth <= 3 * limits.BROADCASTS_MAX
    assert core.metrics().broadcasts_dropped > 0
    assert len(core.context.table._rumours) <= limits.RUMOURS_MAX
    assert len(core.querying._unanswered) <= 1024 and len(core.prober._relayed) <= limits.RELAYED_PROBES_MAX


def test_replayed_packets_change_nothing() -> None:
    """Everything that was said in a minute of leaving and joining is said again to everybody: no belief changes."""
    world = World(14)
    recorded: list[tuple[tuple[str, int], bytes]] = []
    hosts = joined(world, 4, keys=(KEY,))
    world.on_packet = lambda host, address, data: recorded.append((address, data))
    hosts[1].do(hosts[1].core.set_tags, {"v": "1"})
    hosts[2].do(hosts[2].core.leave)
    world.run(20.0)
    rest = [hosts[0], hosts[1], hosts[3]]
    before = [(view(host), host.core.context.table.records["n1"].incarnation) for host in rest]
    events = [len(host.events) for host in rest]
    world.on_packet = lambda host, address, data: None
    for address, data in recorded:
        if address in world.by_address:
            target = world.by_address[address]
            target.do(target.core.on_datagram, data, address_of(2))
    world.run(10.0)
    assert [(view(host), host.core.context.table.records["n1"].incarnation) for host in rest] == before
    assert [len(host.events) for host in rest] == events


def test_protocol_versions_that_do_not_fit_are_refused() -> None:
    world = World(15)
    hosts = joined(world, 2)
    old = world.add(config_of(5, protocol=1), address_of(5))
    assert join(world, old, hosts[0]) == ""  # N and N-1 work together
    future = m.Alive(
        incarnation=1, node="z", host="10.0.0.77", port=1, version_min=9, version_max=9, version=9
    )
    packet = hosts[0].core.context.envelope.wrap(encode(future))
    hosts[0].do(hosts[0].core.on_datagram, packet, address_of(1))
    assert "z" not in view(hosts[0]) and hosts[0].core.metrics().refused["protocol"] == 1


def test_members_without_the_required_tags_stay_outside() -> None:
    world = World(16)
    hosts = joined(world, 2, tags={"role": "server"}, required_tags={"role": "server"})
    stranger = world.add(config_of(5), address_of(5))
    assert "does not belong here: tags" in join(world, stranger, hosts[0])
    world.run(10.0)
    assert "n5" not in view(hosts[0])


def test_a_partition_heals_by_reconnecting() -> None:
    world = World(17)
    hosts = joined(world, 6)
    world.links.partition([host.address for host in hosts[:3]])
    assert world.run(60.0, lambda: all(sees(hosts[0], f"n{n}", Status.FAILED) for n in (3, 4, 5)))
    world.links.heal()
    assert world.run(90.0, lambda: agree(hosts), check_every_s=0.2), told(hosts)


def test_events_and_queries() -> None:
    world = World(18)
    hosts = joined(world, 5)
    hosts[3].do(hosts[3].core.set_tags, {"role": "db"})
    world.run(2.0)
    hosts[0].do(hosts[0].core.user_event, "deploy", b"7")
    hosts[1].do(hosts[1].core.query, 1, "who", b"", ack=True, relays=2)
    hosts[1].do(hosts[1].core.query, 2, "who", b"", tags={"role": "db"})
    hosts[1].do(hosts[1].core.query, 3, "who", b"", nodes=("n0", "n4"))
    world.run(5.0)
    for host in hosts:
        assert [event.user.name for event in host.events if event.user] == ["deploy"]
    assert sorted(reply.name for reply in hosts[1].results[1].replies) == ["n0", "n1", "n2", "n3", "n4"]
    assert len(hosts[1].results[1].acknowledged) == 5
    assert [reply.name for reply in hosts[1].results[2].replies] == ["n3"]
    assert sorted(reply.name for reply in hosts[1].results[3].replies) == ["n0", "n4"]
    late = world.add(config_of(9), address_of(9))
    join(world, late, hosts[0])
    world.run(40.0)
    assert not [event for event in late.events if event.user]  # older than the join


def test_a_snapshot_finds_the_cluster_and_repeats_no_events() -> None:
    world = World(19)
    hosts = joined(world, 3, snapshot_path="kept")
    hosts[0].do(hosts[0].core.user_event, "deploy", b"1")
    world.run(2.0)
    world.kill(hosts[2])
    snapshot = hosts[2].snapshot()
    assert sorted(snapshot.members) == ["n0", "n1"] and snapshot.event_time > 1
    again = world.add(config_of(2, snapshot_path="kept", ignore_old_events=False), hosts[2].address, snapshot)
    assert join(world, again, world.by_address[snapshot.members["n0"]]) == ""
    world.run(40.0)
    assert not [event for event in again.events if event.user]
    hosts[0].do(hosts[0].core.user_event, "deploy", b"2")
    world.run(2.0)
    assert [event.user.payload for event in again.events if event.user] == [b"2"]


def test_a_failed_member_can_be_declared_gone() -> None:
    world = World(20)
    hosts = joined(world, 4)
    world.kill(hosts[3])
    assert world.run(30.0, all_see(hosts[:3], "n3", Status.FAILED))
    hosts[1].do(hosts[1].core.force_leave, "n3")
    assert world.run(3.0, all_see(hosts[:3], "n3", Status.LEFT)), told(hosts[:3])
    kinds = [event.kind for event in hosts[0].events if event.member and event.member.name == "n3"]
    assert kinds[-2:] == [EventKind.FAILED, EventKind.LEFT]
