"""The choice of victims on one node."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.model.plan import Neighbour
from daemon.model.resources import Usage
from daemon.scheduler.victims import choose_victims, fits, preemption_score

NOBODY = (0, 0, 0, 0)


def neighbour(name: str, priority: int, cpu: int, memory: int, **facts: Any) -> Neighbour:
    fields: dict[str, Any] = {
        "alloc_id": name,
        "namespace": "default",
        "job_id": f"job-{name}",
        "task_group": "g",
        "priority": priority,
        "usage": Usage(cpu=cpu, memory_mb=memory, disk_mb=10),
    }
    return Neighbour(**(fields | facts))


def names(victims: list[Neighbour] | None) -> list[str] | None:
    return None if victims is None else sorted(victim.alloc_id for victim in victims)


def test_the_worked_score() -> None:
    # one victim of priority 1024 weighs 1024 + 1; so that p = 2048 the sum must be 1024 times the most important.
    assert preemption_score([neighbour("a", 50, 1, 1)]) == pytest.approx(
        1 / (1 + math.exp(0.0048 * (51 - 2048)))
    )
    many = [neighbour(str(i), 1, 1, 1) for i in range(2047)]
    assert preemption_score(many) == pytest.approx(0.5)


def test_pr2_the_least_important_goes_first_and_among_equals_the_closest_in_size() -> None:
    ask = (1000, 1000, 0, 1)
    low, near, far = (
        neighbour("low", 20, 1200, 1200),
        neighbour("near", 30, 1000, 900),
        neighbour("far", 30, 3000, 3000),
    )
    assert names(choose_victims(ask, NOBODY, (), [far, near, low], {})) == ["low"]
    assert names(choose_victims(ask, (0, 100, 0, 0), (), [far, near], {})) == ["near"]


def test_pr2_nobody_goes_in_vain() -> None:
    ask = (1000, 1000, 0, 1)
    small = [neighbour(f"s{i}", 10, 100, 100) for i in range(5)]
    big = neighbour("big", 40, 1000, 1000)
    assert names(choose_victims(ask, NOBODY, (), [*small, big], {})) == ["big"]


def test_when_all_of_them_would_not_do_nobody_goes() -> None:
    assert choose_victims((1000, 1000, 0, 1), NOBODY, (), [neighbour("a", 10, 900, 5000)], {}) is None


def test_a_group_that_lost_enough_is_spared_for_others_of_its_priority() -> None:
    held = [neighbour("a", 10, 1000, 1000, max_parallel=1), neighbour("b", 10, 3000, 3000)]
    ask = (1000, 1000, 0, 1)
    assert names(choose_victims(ask, NOBODY, (), held, {})) == ["a"]
    assert names(choose_victims(ask, NOBODY, (), held, {("default", "job-a", "g"): 1})) == ["b"]


def test_pr3_the_holder_of_a_static_port_goes_if_it_may() -> None:
    ask = (100, 100, 0, 1)
    holder, other = neighbour("holder", 30, 50, 50, ports=(80,)), neighbour("other", 10, 500, 500)
    free = (100, 100, 0, 1)
    assert names(choose_victims(ask, free, (80,), [other, holder], {})) == ["holder"]
    assert choose_victims(ask, free, (80,), [other], {}) is None


SIZES = st.lists(st.tuples(st.sampled_from([10, 20, 30]), st.integers(1, 9), st.integers(1, 9)), max_size=7)


@settings(max_examples=200, deadline=None)
@given(
    SIZES, st.tuples(st.integers(1, 20), st.integers(1, 20)), st.tuples(st.integers(0, 5), st.integers(0, 5))
)
def test_the_victims_suffice_and_each_is_needed(
    sizes: list[tuple[int, int, int]], ask: tuple[int, int], free: tuple[int, int]
) -> None:
    held = [neighbour(f"{i}", p, cpu, memory) for i, (p, cpu, memory) in enumerate(sizes)]
    wanted, room = (ask[0], ask[1], 0, 1), (free[0], free[1], 0, 0)
    victims = choose_victims(wanted, room, (), held, {})
    if victims is None:
        assert not fits(room, wanted, held)
        return
    assert fits(room, wanted, victims)
    for victim in victims:
        assert not fits(room, wanted, [other for other in victims if other is not victim])
    # no victim is more important than what would have sufficed without its priority.
    if victims:
        most = max(victim.priority for victim in victims)
        assert not fits(room, wanted, [one for one in held if one.priority < most])
