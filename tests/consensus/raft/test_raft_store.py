"""What the core gives to the disk is what log stores take: Readys written to a store give the same log back."""

from __future__ import annotations

import itertools

import pytest

from daemon.consensus.memory_store import MemoryStore
from daemon.consensus.sqlite_store import SqliteStore
from tests.consensus.raft import raftworld
from tests.consensus.raft.raftstory import Story


@pytest.fixture(params=["memory", "sqlite"])
def mirrored(request, tmp_path, monkeypatch):
    """Every disk of the simulation writes to a real store too, and compares."""
    stores = []
    number = itertools.count()

    class MirroredDisk(raftworld.Disk):
        def __init__(self):
            super().__init__()
            self.store = (
                MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / f"d{next(number)}")
            )
            self.store.open()
            self.is_begun = False
            stores.append(self.store)

        def write(self, ready, received):
            if not self.is_begun and self.log:
                self.store.append(self.entries(), self.hard_state)
            self.is_begun = True
            gone = super().write(ready, received)
            self.store.append(ready.entries, ready.hard_state, ready.truncate_from)
            assert self.store.last_index == self.last
            assert self.store.hard_state == self.hard_state
            if ready.truncate_from:
                assert self.store.slice(1, self.last) == self.entries()
            return gone

        def entries(self):
            held = super().entries()
            if self.is_begun and self.last:
                assert self.store.slice(1, self.last) == held, "a restart reads what was written"
            return held

    monkeypatch.setattr(raftworld, "Disk", MirroredDisk)
    yield request.param
    for store in stores:
        store.close()


def test_a_store_takes_what_the_core_gives(mirrored, monkeypatch):
    # a snapshot of another server needs more than `append`, which the shell will do
    monkeypatch.setattr(raftworld.Host, "snapshot", lambda self, keep: None)
    for seed in range(12 if mirrored == "memory" else 2):
        Story(seed, ms=2500 if mirrored == "memory" else 1200).run()
