"""The log's shell drives a Raft core of one voter as it drives the single-server core."""

from __future__ import annotations

import pytest

from daemon.consensus import shell
from daemon.consensus.port import SnapshotMark
from daemon.consensus.raft.core import RaftCore
from daemon.consensus.raft.members import members_of
from daemon.consensus.shell import Log
from daemon.state.commands import Noop


def raft_of_one(server_id, hard_state, applied_index, last_index, log):
    log = list(log)
    term = min([entry.term for entry in log], default=hard_state.term)
    core = RaftCore(
        server_id,
        "c1",
        draw=lambda below: 0,
        hard_state=hard_state,
        log=log,
        mark=SnapshotMark(index=applied_index, term=term if applied_index else 0),
        members=members_of([server_id]),
    )
    assert core.last_index == last_index
    return core


@pytest.mark.parametrize("on_disk", [False, True])
async def test_the_shell_drives_a_raft_core(tmp_path, monkeypatch, on_disk):
    monkeypatch.setattr(shell, "SingleServer", raft_of_one)
    directory = tmp_path / "log" if on_disk else None
    log = await Log.open(directory, server_id="a")
    assert log.is_leader
    for n in range(20):
        await log.propose(Noop(time_ns=n))
    await log.snapshot()
    await log.propose(Noop(time_ns=99))
    index, term = log.state.index, log.term
    await log.close()
    if on_disk:
        again = await Log.open(directory, server_id="a")
        assert again.is_leader and again.term == term + 1
        assert again.state.index == index + 1 and again.state.time_ns == 99
        await again.close()
