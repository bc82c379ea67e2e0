"""Tables that are copied on write, sorted runs, strict entries, the view for the scheduler."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.model.base import encode
from daemon.model.enums import ClientStatus, JobType, NodeStatus
from daemon.model.errors import InvalidInput
from daemon.model.job import Job
from daemon.state.commands import (
    SCHEMA,
    AllocClientUpdate,
    ClientUpdate,
    Envelope,
    JobRegister,
    NodeStatusUpdate,
)
from daemon.state.entries import decode_entry
from daemon.state.runs import Runs
from daemon.state.state import State
from daemon.state.strict import decode_strict
from daemon.state.table import Table, id_shard, name_shard, prefix_shard
from daemon.state.view import eval_input
from tests.state.state_factory import World, alloc, block, evaluation, job, plan, stop, uid


def test_a_frozen_table_does_not_change():
    table: Table[str, int] = Table(256, id_shard)
    for number in range(500):
        table.put(f"{number:04x}", number)
    frozen = table.freeze()
    before = [dict(shard) for shard in frozen]
    for number in range(0, 500, 2):
        table.pop(f"{number:04x}")
    table.put("0001", -1)
    table.put("new", 1)
    assert [dict(shard) for shard in frozen] == before
    assert len(table) == 251 == sum(1 for _ in table.values())
    assert table.get("0001") == -1
    assert table.get("0002") is None
    assert table.pop("0002") is None


def test_shards_depend_on_the_key_alone():
    assert id_shard("ff00") == 255
    assert id_shard("node-1") == id_shard("node-1") < 256
    assert prefix_shard("f") is None
    assert prefix_shard("ab9") == 0xAB
    assert name_shard(("a", "b")) != name_shard(("ab", "")) or name_shard(("a", "c")) < 64


@settings(max_examples=50, deadline=None)
@given(
    batches=st.lists(st.lists(st.integers(0, 50), max_size=30), max_size=12),
    looks=st.lists(st.integers(0, 60), max_size=5),
)
def test_runs_find_what_was_added(batches, looks):
    runs, plain, slot = Runs(np.uint64), [], 0
    for keys in batches:
        slots = list(range(slot, slot + len(keys)))
        slot += len(keys)
        runs.add(np.array(keys, dtype=np.uint64), np.array(slots, dtype=np.int64))
        plain += zip(keys, slots, strict=True)
        for look in looks[:1]:
            assert sorted(runs.find(look)) == sorted(s for k, s in plain if k == look)
    for look in looks:
        assert sorted(runs.find(look)) == sorted(s for k, s in plain if k == look)
        assert sorted(runs.between(look, look + 9)) == sorted(s for k, s in plain if look <= k <= look + 9)
    assert len(runs) == len(plain)
    for _ in range(20):
        runs.prune(lambda group: group % 2 == 0, 2)
    for look in looks:
        assert sorted(runs.find(look)) == sorted(s for k, s in plain if k == look and (s >> 2) % 2 == 0)


def test_runs_merge_large_batches():
    runs = Runs(np.uint64)
    source = np.random.default_rng(3)
    keys = source.integers(0, 2**63, 300_000, dtype=np.uint64)
    for start in range(0, len(keys), 1000):
        runs.add(keys[start : start + 1000], np.arange(start, start + 1000, dtype=np.int64))
    assert all(runs.find(int(keys[n])) == [n] for n in range(0, len(keys), 9973))
    assert len(runs._runs) < 12


def test_ids_that_begin_alike_are_told_apart():
    world = World()
    on, of = world.node(1), world.job()
    ids = [f"01234567-89ab-cdef-0000-00000000000{n}" for n in range(6)]
    raw = b"".join(bytes.fromhex(text.replace("-", "")) for text in ids)
    placed = msgspec.structs.replace(block(list(range(6)), [on], of), ids=raw)
    world.apply(plan(of, blocks=(placed,)))
    assert [world.state.alloc(text).index for text in ids] == list(range(6))
    world.apply(plan(of, stops=tuple(stop(text, on) for text in ids[1:4])))
    assert [world.state.alloc(text).server_terminal for text in ids] == [False, *[True] * 3, False, False]
    assert world.state.resolve_prefix("allocs", ids[0][:20]) == ids


def entry(**changes):
    raw = msgspec.msgpack.decode(encode(Envelope(command=JobRegister(time_ns=1, job=job()))))
    raw.update(changes)
    return raw


def test_entries_of_a_later_schema_are_refused_with_advice():
    data = msgspec.msgpack.encode(entry(Schema=SCHEMA + 1, Extra=1))
    with pytest.raises(InvalidInput, match=r"schema 2.*reads up to 1.*start the version"):
        State().apply_entry(1, data)


def test_unknown_fields_anywhere_are_refused():
    raw = entry()
    raw["Command"]["Job"]["TaskGroups"][0]["Flavour"] = "sweet"
    with pytest.raises(InvalidInput, match=r"Job\.TaskGroups\[0\]\.Flavour"):
        decode_entry(msgspec.msgpack.encode(raw))


def test_fields_that_an_older_version_did_not_write_are_defaults():
    raw = entry()
    del raw["Command"]["Job"]["Meta"]
    decoded = decode_entry(msgspec.msgpack.encode(raw))
    assert isinstance(decoded, JobRegister)
    assert decoded.job.meta == {}


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x93", encode(3), encode({"Schema": 1}), encode({"a": 1})])
def test_what_is_no_entry_is_refused(data):
    with pytest.raises(InvalidInput):
        State().apply_entry(1, data)


def test_strict_decoding_of_rows():
    assert decode_strict(encode(job()), Job) == job()
    with pytest.raises(InvalidInput, match="Nope"):
        decode_strict(msgspec.msgpack.encode({**msgspec.msgpack.decode(encode(job())), "Nope": 1}), Job)


def test_a_free_form_config_survives():
    """What a driver's config may hold comes back as it was."""
    config = {"a": 1, "b": 2.5, "c": [True, None, {"d": b"x"}], "e": "é", "f": 2**63}
    group = job().task_groups[0]
    task = msgspec.structs.replace(group.tasks[0], config=config)
    odd = job(task_groups=(msgspec.structs.replace(group, tasks=(task,)),))
    command = decode_entry(encode(Envelope(command=JobRegister(time_ns=1, job=odd))))
    assert command == JobRegister(time_ns=1, job=odd)


def report(world, on, number, status):
    update = ClientUpdate(alloc_id=uid(number, 3), client_status=status)
    world.apply(AllocClientUpdate(time_ns=20, node_id=on.id, updates=(update,)))


@pytest.mark.parametrize(
    ("kind", "expected"), [(JobType.SERVICE, {0, 1, 3, 5}), (JobType.BATCH, {0, 1, 2, 3, 4, 5})]
)
def test_the_view_for_the_scheduler(kind, expected):
    world = World()
    on, away = world.node(1), world.node(2)
    of = world.job(type=kind)
    world.apply(plan(of, blocks=(block([0, 1, 2, 3, 4], [on], of),)))
    new = alloc(5, away, of, previous_allocation=uid(4, 3))
    report(world, on, 1, ClientStatus.COMPLETE)  # over on the node only
    report(world, on, 2, ClientStatus.COMPLETE)
    report(world, on, 3, ClientStatus.FAILED)  # not replaced
    report(world, on, 4, ClientStatus.FAILED)  # replaced
    world.apply(plan(of, allocs=(new,), stops=(stop(uid(2, 3), on), stop(uid(3, 3), on)), on=[away]))
    world.apply(NodeStatusUpdate(time_ns=3, node_ids=(away.id,), status=NodeStatus.DOWN))
    world.apply(JobRegister(time_ns=4, job=job(type=kind, priority=70)))
    world.apply(JobRegister(time_ns=4, job=job(type=kind, priority=71)))
    found = eval_input(world.state, evaluation(9), 123, 7, 2)
    assert {a.id for a in found.allocs} == {uid(n, 3) for n in expected}
    assert [j.version for j in found.old_jobs] == [0]
    assert found.job == world.state.job("default", "web")
    assert {(n.id, n.status, n.ready) for n in found.nodes} == {
        (on.id, NodeStatus.READY, True),
        (away.id, NodeStatus.DOWN, False),
    }
    assert (found.index, found.now_ns, found.seed, found.attempt) == (world.state.index, 123, 7, 2)


def test_the_view_of_a_purged_job():
    world = World()
    found = eval_input(world.state, evaluation(9), 1, 1, 1)
    assert (found.job, found.allocs, found.nodes) == (None, (), ())
