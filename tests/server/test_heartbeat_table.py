"""The heartbeat table, without a server: who is called down, when, and who is not. Also over a change of leader."""

from __future__ import annotations

import random

import pytest

from daemon.server.heartbeat import BEAT_S, EXPIRY_S, Heartbeats

#: seconds between two looks of the server at its table.
TICK_S = 1.0


def run(
    table: Heartbeats, beats: dict[str, float], dead_at: dict[str, float], start_s: float, until_s: float
) -> dict[str, float]:
    """Let the living beat every BEAT_S from their phase on; who was called down, and when."""
    down: dict[str, float] = {}
    tick = start_s
    while tick <= until_s:
        for node, due in beats.items():
            while beats[node] <= tick:
                if beats[node] < dead_at.get(node, float("inf")):
                    table.beat(node, beats[node])
                beats[node] = due = due + BEAT_S
        for node in table.expired(tick):
            down[node] = tick
        tick += TICK_S
    return down


@pytest.mark.parametrize("count", [1_000, 10_000])
def test_nd1_the_dead_are_down_in_time_and_no_living_one_ever(count: int) -> None:
    source = random.Random(count)
    beats = {f"node-{n:05d}": source.uniform(0, BEAT_S) for n in range(count)}
    table = Heartbeats()
    for node in beats:
        table.beat(node, 0.0)
    down = run(table, beats, {"node-00007": 31.5}, 0.0, 60.0)
    assert list(down) == ["node-00007"] and down["node-00007"] - 31.5 < 15


@pytest.mark.parametrize("count", [1_000, 10_000])
@pytest.mark.parametrize("silence_s", [0.5, 5.0, 30.0])
def test_nd1_a_new_leader_gives_all_of_them_one_whole_expiry(count: int, silence_s: float) -> None:
    source = random.Random(count)
    beats = {f"node-{n:05d}": source.uniform(0, BEAT_S) for n in range(count)}
    died_s = 20.0
    old = Heartbeats()
    for node in beats:
        old.beat(node, 0.0)
    assert not run(old, beats, {"node-00007": died_s}, 0.0, 21.0)
    # nobody leads for a while: what is sent meanwhile reaches nobody.
    begins_s = 21.0 + silence_s
    for node, due in beats.items():
        while due <= begins_s:
            due += BEAT_S
        beats[node] = due
    new = Heartbeats()
    for node in beats:
        new.beat(node, begins_s)
    down = run(new, beats, {"node-00007": died_s}, begins_s, begins_s + 60)
    assert list(down) == ["node-00007"] and down["node-00007"] - begins_s < 15


def test_lateness_of_the_server_buries_nobody() -> None:
    table = Heartbeats()
    table.beat("a", 0.0)
    table.credit(100.0)
    assert table.expired(100.0 + EXPIRY_S - 1) == []
    assert table.expired(100.0 + EXPIRY_S + 1) == ["a"] and len(table) == 0
