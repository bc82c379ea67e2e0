"""Damaged entries and snapshots: refused by InvalidInput, and by nothing else."""

from __future__ import annotations

import random

import pytest

from daemon.model.base import encode
from daemon.model.errors import InvalidInput
from daemon.state.commands import Envelope
from daemon.state.entries import decode_entry
from daemon.state.state import State
from tests.state.random_commands import Commands


def damaged(source: random.Random, data: bytes) -> bytes:
    bad = bytearray(data)
    for _ in range(source.randrange(1, 4)):
        kind = source.randrange(4)
        at = source.randrange(len(bad) + 1)
        if kind == 0 and bad:
            bad[at % len(bad)] ^= 1 << source.randrange(8)
        elif kind == 1:
            bad[at:at] = source.randbytes(source.randrange(1, 6))
        elif kind == 2:
            del bad[at : at + source.randrange(1, 9)]
        else:
            del bad[at:]
    return bytes(bad)


def fuzz(cases: int, seed: int) -> int:
    source = random.Random(seed)
    state = State()
    commands = Commands(seed, state)
    refused = 0
    for _ in range(cases // 50):
        command = commands.draw()
        data = encode(Envelope(command=command))
        state.apply(state.index + 1, command)
        for _ in range(50):
            try:
                decode_entry(damaged(source, data))
            except InvalidInput:
                refused += 1
    return refused


def test_damaged_entries():
    assert fuzz(5_000, 1) > 3_000


@pytest.mark.long
@pytest.mark.timeout(900)
def test_many_damaged_entries():
    assert fuzz(100_000, 2) > 60_000


@pytest.mark.parametrize("seed", range(5))
def test_damaged_pieces(seed):
    source = random.Random(seed)
    state = State()
    commands = Commands(seed, state)
    for _ in range(60):
        state.apply(state.index + 1, commands.draw())
    pieces = list(state.snapshot().pieces())
    for _ in range(200):
        number = source.randrange(len(pieces))
        bad = damaged(source, pieces[number])
        if bad != pieces[number]:
            with pytest.raises(InvalidInput):
                State.restore([*pieces[:number], bad, *pieces[number + 1 :]])
