"""Mistakes in what the leader decides by itself: drains, scaling, settings, collection."""

from __future__ import annotations

from tests.mutations.mutate import Mutation

_DRAINS = ("daemon/server/drains.py", ("tests/server/test_drains.py",))
_APPLY = ("daemon/state/apply_drains.py", ("tests/server/test_drains.py",))
_SCALE = ("daemon/state/apply_scaling.py", ("tests/server/test_scaling.py",))
_COLLECT = ("daemon/server/collect.py", ("tests/server/test_collecting.py",))

_TEXTS: list[tuple[tuple[str, tuple[str, ...]], str, str]] = [
    (_DRAINS, "healthy - (group.count - migrate_rules(group).max_parallel)", "migrate_rules(group).max_parallel"),
    (_DRAINS, "        and not alloc.desired_transition.migrate\n        and alloc.id not in gone",
     "        and alloc.id not in gone"),
    (_DRAINS, "        and _is_judged(job, group, alloc)\n", ""),
    (_DRAINS, "END if kind in (JobType.BATCH, JobType.SYSBATCH) else MOVE", "MOVE"),
    (_DRAINS, "        horizon += COALESCE_NS\n", "        pass\n"),
    (_DRAINS, "        if kind == JobType.SERVICE:\n", "        if True:\n"),
    (_DRAINS, "        if not node.drain_strategy.ignore_system_jobs:\n", "        if True:\n"),
    (_DRAINS, "    if len(system) == len(live):", "    if not live:"),
    (_APPLY, "        scheduling_eligibility=Eligibility.INELIGIBLE,\n", ""),
    (_APPLY, "elif stored.drain_strategy.started_at_ns != started_at_ns:", "elif False:"),
    (_APPLY, "running.started_at_ns if running is not None else draft.time_ns", "draft.time_ns"),
    (_SCALE, "elif deployment is not None and deployment.active:", "elif False:"),
    (_SCALE, "elif limits is not None and not limits.min <= count <= limits.max:", "elif False:"),
    (_SCALE, "[:EVENTS_KEPT]", ""),
    (_COLLECT, "return len(going) == len(allocs), going", "return True, going"),
]  # fmt: skip

MUTATIONS = [Mutation(file, before, after, tests) for (file, tests), before, after in _TEXTS]
