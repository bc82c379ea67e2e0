"""The columns kept between evaluations are what a fresh computation gives, whatever moved meanwhile."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from daemon.scheduler.standing import standing
from daemon.state.fleet import Fleet
from daemon.state.reservations import Reservation
from tests.scheduler.fleetkit import make_fleet, make_node

_ROWS = 70


def _fresh(fleet: Fleet, ask: tuple[int, int, int, int]) -> tuple[list[int], list[int]]:
    kept = fleet.cache.pop("standing")
    left, _, keys = standing(fleet, ask)
    fleet.cache["standing"] = kept
    return left.tolist(), keys.tolist()


steps = st.lists(
    st.one_of(
        st.tuples(st.just("hold"), st.integers(0, _ROWS - 1), st.integers(1, 3000)),
        st.tuples(st.just("free"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("look"), st.integers(0, 20), st.just(0)),
        st.tuples(st.just("resize"), st.integers(0, _ROWS - 1), st.integers(100, 9000)),
    ),
    max_size=40,
)


@given(steps)
def test_kept_columns_follow_every_change_of_the_fleet(moves: list[tuple[str, int, int]]) -> None:
    fleet = make_fleet([make_node(str(i)) for i in range(_ROWS)])
    asks = [(100 * i + 100, 64, 10, 1) for i in range(21)]
    for i, (kind, what, amount) in enumerate(moves):
        if kind == "hold":
            held = np.array([[amount], [amount // 2], [1], [1]], dtype=np.int64)
            fleet.hold(str(i % 10), Reservation(np.array([what], dtype=np.int64), held))
        elif kind == "free":
            fleet.settle((str(what),))
        elif kind == "resize":
            fleet.capacity[0, what] = amount
            fleet.shape_version += 1
        else:
            left, _, keys = standing(fleet, asks[what])
            assert (left.tolist(), keys.tolist()) == _fresh(fleet, asks[what])
    for ask in asks:
        left, _, keys = standing(fleet, ask)
        assert (left.tolist(), keys.tolist()) == _fresh(fleet, ask)
    assert len(fleet.cache["standing"]) <= 16
