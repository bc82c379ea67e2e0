"""Random histories: against a slow twin, replayed, restored from snapshots, and in other processes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from daemon.model.alloc import Allocation
from daemon.model.base import encode
from daemon.model.enums import ClientStatus
from daemon.model.errors import InvalidInput
from daemon.state.commands import Envelope
from daemon.state.newest import index_of_key
from daemon.state.state import State
from daemon.state.tracker import FleetTracker
from tests.state.random_commands import JOBS, Commands
from tests.state.slow_twin import SlowTwin

ROOT = Path(__file__).resolve().parents[2]


def same(state: State, twin: SlowTwin) -> None:
    """Every question that the state answers, against a scan of the twin's rows."""
    assert {j.key: j for j in state.jobs()} == twin.jobs
    for key in twin.jobs:
        old = [j.version for j in twin.old.get(key, [])]
        assert [j.version for j in state.job_versions(*key)][1:] == old, key
    assert {e.id: e for e in state.evals()} == twin.evals
    assert {n.id: (n.status, n.attributes, n.epoch) for n in state.nodes()} == twin.nodes
    for node in state.nodes():
        drain = node.drain_strategy
        found = (drain.deadline_ns, drain.started_at_ns, drain.force_deadline_ns) if drain else None
        assert twin.drains[node.id] == (found, node.scheduling_eligibility == "eligible")
        assert (node.id in twin.quarantined) == node.quarantined
    assert {a.id: a for a in state.allocs()} == twin.allocs
    assert state.alloc_count == len(twin.allocs)
    assert {d.id: replace(d, status_description="") for d in state.deployments()} == {
        d.id: replace(d, status_description="") for d in twin.deployments.values()
    }
    assert {d.id for d in state.active_deployments()} == {d.id for d in twin.deployments.values() if d.active}
    for alloc_id, row in twin.allocs.items():
        assert state.alloc(alloc_id) == row
    rows = list(twin.allocs.values())
    for node_id in {a.node_id for a in rows} | set(twin.nodes):
        mine = {a.id: a.alloc_modify_index for a in rows if a.node_id == node_id}
        assert state.node_alloc_versions(node_id) == mine
        assert {a.id for a in state.allocs_by_node(node_id)} == mine.keys()
    for job_id in JOBS:
        mine = [a for a in rows if a.job_id == job_id]
        assert {a.id for a in state.allocs_by_job("default", job_id)} == {a.id for a in mine}
        assert state.versions_in_use("default", job_id) == sorted({a.job_version for a in mine})
        evals = [e.id for e in twin.evals.values() if e.job_id == job_id]
        assert sorted(e.id for e in state.evals_by_job("default", job_id)) == sorted(evals)
        group = state.summary("default", job_id).summary.get("g")
        if ("default", job_id) in twin.jobs and group:
            for name, status in (("starting", "pending"), ("running", "running")):
                count = sum(a.client_status == ClientStatus(status) for a in mine)
                assert getattr(group, name) == count
    paged(state, rows)
    holds(state)
    for eval_id in {a.eval_id for a in rows}:
        mine = {a.id for a in rows if a.eval_id == eval_id}
        assert {a.id for a in state.allocs_by_eval(eval_id)} == mine


def paged(state: State, rows: list[Allocation]) -> None:
    """The order of age, from any place on, with what the key of each promises."""
    found = list(state.allocs_newest(2**62, lambda _namespace, _job: True))
    wanted = sorted(rows, key=lambda a: f"{2**62 - a.create_index:019d}.{a.name}.{a.id}")
    assert [each.make() for each in found] == wanted
    assert [(each.name, each.id, each.create_index) for each in found] == [
        (a.name, a.id, a.create_index) for a in wanted
    ]
    for at in (0, len(found) // 2, len(found) - 1) if found else ():
        start = index_of_key(found[at].key)
        later = [each.id for each in state.allocs_newest(start, lambda _namespace, job: job == JOBS[0])]
        assert later == [a.id for a in wanted if a.create_index <= start and a.job_id == JOBS[0]]


def holds(state: State) -> None:
    """Usage counted from blocks is the usage counted row by row."""
    by_row, by_block = FleetTracker(), FleetTracker()
    by_row.rebuild(state.index, state.nodes(), state.allocs())
    blocks, allocs = state.alloc_holdings()
    by_block.rebuild(state.index, state.nodes(), allocs, blocks)
    for node_id, row in by_row.fleet.row_of.items():
        other = by_block.fleet.row_of.get(node_id)
        if other is None:
            assert not by_row.fleet.total[:, row].any(), node_id
            continue
        assert (by_row.fleet.wanted[:, row] == by_block.fleet.wanted[:, other]).all(), node_id
        assert (by_row.fleet.stopping[:, row] == by_block.fleet.stopping[:, other]).all(), node_id
        assert by_row.fleet.ports.get(row) == by_block.fleet.ports.get(other), node_id


def picture(state: State) -> list[bytes]:
    return list(state.snapshot().pieces())


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32), steps=st.integers(1, 60))
def test_against_a_slow_twin(seed, steps):
    state, twin = State(), SlowTwin()
    commands = Commands(seed, state)
    for _ in range(steps):
        command = commands.draw()
        state.apply(state.index + 1, command)
        twin.apply(command)
        same(state, twin)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), cut=st.integers(0, 60))
def test_snapshot_and_replay_give_the_same_bytes(seed, cut):
    """Invariant 5: the log decides, not the way it was read."""
    state = State()
    commands = Commands(seed, state)
    log, handle = [], state.snapshot()
    for step in range(60):
        if step == cut:
            handle = state.snapshot()
        log.append(encode(Envelope(command=commands.draw())))
        state.apply_entry(state.index + 1, log[-1])
    replayed = State()
    for data in log:
        replayed.apply_entry(replayed.index + 1, data)
    assert picture(replayed) == picture(state)
    # the handle was taken before what came after: copy on write kept it.
    restored = State.restore(handle.pieces())
    assert restored.index == handle.index
    for data in log[restored.index :]:
        restored.apply_entry(restored.index + 1, data)
    assert picture(restored) == picture(state)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_changes_tell_all_that_happened(seed):
    """A consumer that only hears Changes knows every row."""
    state = State()
    commands = Commands(seed, state)
    heard = {"jobs": {}, "nodes": {}, "evals": {}, "allocs": {}, "deployments": {}}
    for _ in range(60):
        changes = state.apply(state.index + 1, commands.draw())
        for kind, known in heard.items():
            touched = False
            if kind == "allocs":
                for block in changes.blocks:
                    known.update({block.alloc_id(n): block.row(n) for n in range(block.count)})
                    touched = True
            for before, after in getattr(changes, kind):
                row = after or before
                key = row.key if kind == "jobs" else row.id
                if kind != "allocs" or before is None or key in known:
                    assert known.get(key) == before
                known[key] = after
                touched = True
            assert (kind in changes.tables) == touched
    for kind, known in heard.items():
        rows = {(r.key if kind == "jobs" else r.id): r for r in getattr(state, kind)()}
        assert {key: row for key, row in known.items() if row is not None} == rows


def _pieces(seed: int = 5) -> list[bytes]:
    state = State()
    commands = Commands(seed, state)
    for _ in range(80):
        state.apply(state.index + 1, commands.draw())
    return picture(state)


def test_a_damaged_snapshot_is_refused():
    pieces = _pieces()
    State.restore(pieces)
    broken = [pieces[:-1], pieces[1:], pieces[:2] + pieces[3:], [*pieces, pieces[-1]], []]
    broken.append([pieces[0], pieces[2], pieces[1], *pieces[3:]])
    for number in range(len(pieces)):
        flipped = bytearray(pieces[number])
        flipped[len(flipped) // 2] ^= 4
        broken.append([*pieces[:number], bytes(flipped), *pieces[number + 1 :]])
        broken.append([*pieces[:number], pieces[number][:-1], *pieces[number + 1 :]])
    broken.append([b"", *pieces[1:]])
    for case in broken:
        with pytest.raises(InvalidInput, match=r"piece|snapshot"):
            State.restore(case)


_CHILD = """
import hashlib, sys
from tests.state.random_commands import Commands
from daemon.state.state import State
state = State()
commands = Commands(int(sys.argv[1]), state)
for _ in range(150):
    state.apply(state.index + 1, commands.draw())
print(hashlib.sha256(b"".join(state.snapshot().pieces())).hexdigest())
"""


def test_every_process_comes_to_the_same_state():
    state = State()
    commands = Commands(11, state)
    for _ in range(150):
        state.apply(state.index + 1, commands.draw())
    expected = hashlib.sha256(b"".join(picture(state))).hexdigest()
    for seed in ("0", "1", "77"):
        found = subprocess.run(
            [sys.executable, "-c", _CHILD, "11"],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert found.stdout.strip() == expected
