"""Mistakes in what the leader decides by itself: drains, scaling, settings, collection."""

from __future__ import annotations

from tests.mutations.mutate import Mutation

_DRAINS = ("daemon/server/drains.py", ("tests/server/test_drains.py",))
_APPLY = ("daemon/state/apply_drains.py", ("tests/server/test_drains.py",))
_SCALE = ("daemon/state/apply_scaling.py", ("tests/server/test_scaling.py",))
_COLLECT = ("daemon/server/collect.py", ("tests/server/test_collecting.py",))
_SCORES = ("daemon/server/failures.py", ("tests/server/test_failure_scores.py",))
_MARKS = ("daemon/server/quarantines.py", ("tests/server/test_failure_scores.py",))
_QUARANTINE = ("daemon/server/quarantine.py", ("tests/server/test_quarantine.py",))
_MARKED = ("daemon/state/apply_quarantine.py", ("tests/server/test_quarantine.py",))
_NODES = ("daemon/state/apply_nodes.py", ("tests/server/test_quarantine.py",))

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
    (_SCORES, "min(1.0, score) * share", "min(1.0, score)"),
    (_SCORES, "min(1.0, score) * share", "score * share"),
    (_SCORES, "+ score * late", "+ score"),
    (_SCORES, "self._faded(tally, now_ns), max(tally.at_ns, now_ns)", "tally.score, tally.at_ns"),
    (_SCORES, "return {node_id: min(1.0, score)", "return {node_id: min(9.0, score)"),
    (_SCORES, "        of_job.total.add(-tally.score, tally.at_ns, self.half_life_ns)\n", ""),
    (_SCORES, "        self._touched.add(node_id)\n", ""),
    (_MARKS, "node.quarantine is not None or node.id in only", "node.id in only"),
    (_MARKS, "elif place >= most:", "elif place > most:"),
    (_MARKS, "node.serving and distinct >= config.jobs", "distinct >= config.jobs"),
    (_MARKS, "distinct >= config.jobs and score", "score"),
    (_MARKS, "(not self.node.quarantined, -self.score", "(True, -self.score"),
    (_MARKS, "score >= LEAVE * config.jobs", "score >= ENTER * config.jobs"),
    (_MARKS, "if serving >= SEVERAL and share_percent > 0 else 0", "if serving >= SEVERAL else 0"),
    (_MARKS, "        if config.mode == OBSERVE:\n", "        if False:\n"),
    (_QUARANTINE, "        and after.desired_status == DesiredStatus.RUN\n", ""),
    (_QUARANTINE, "before.client_status != ClientStatus.FAILED", "True"),
    (_QUARANTINE, "time_ns > node.pardoned_at_ns", "True"),
    (_QUARANTINE, "after.pardoned_at_ns != before.pardoned_at_ns", "False"),
    (_QUARANTINE, "job.parent_id if job is not None and job.parent_id else alloc.job_id", "alloc.job_id"),
    (_QUARANTINE, "evaluations=self._for_released(marks)", "evaluations=()"),
    (_MARKED, "elif mark is not None and command.time_ns <= stored.pardoned_at_ns:", "elif False:"),
    (_NODES, "        node.quarantined,\n", ""),
    (_NODES, "            quarantine=stored.quarantine,\n", ""),
]  # fmt: skip

MUTATIONS = [Mutation(file, before, after, tests) for (file, tests), before, after in _TEXTS]
