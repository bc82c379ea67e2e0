"""Mistakes in the reconciler: surplus, canaries, rollouts, failures, nodes out of sight, system jobs."""

from __future__ import annotations

from tests.mutations.mutate import Mutation

_ROLLING = ("tests/scheduler/test_rollouts.py", "tests/scheduler/test_reconcile.py", "-k", "not rf4")
_SYSTEM = ("tests/scheduler/test_system_jobs.py", "tests/scheduler/test_system_rollouts.py")
_SIGHT = ("tests/scheduler/test_disconnects.py",)

_ROLLOUT = ("daemon/scheduler/rollout.py", _ROLLING)
_CANARIES = ("daemon/scheduler/canaries.py", _ROLLING)
_SURPLUS = ("daemon/scheduler/surplus.py", _ROLLING)
_FAILURES = ("daemon/scheduler/failures.py", _ROLLING)
_PASS = ("daemon/scheduler/reconcile.py", _ROLLING)
_DECISION = ("daemon/scheduler/decision.py", _ROLLING)
_AWAY = ("daemon/scheduler/away.py", _SIGHT)
_RECONNECT = ("daemon/scheduler/reconnect.py", _SIGHT)
_CLASSIFY = ("daemon/scheduler/classify.py", _SIGHT)
_NODEWISE = ("daemon/scheduler/nodewise.py", (*_SYSTEM, *_SIGHT))
_WHOLE_SYSTEM = ("daemon/scheduler/system.py", _SYSTEM)
_STATE = ("daemon/state/apply_allocs.py", ("tests/state/test_apply_disconnects.py",))
_LIVENESS = ("daemon/server/liveness.py", ("tests/state/test_apply_disconnects.py",))

_TEXTS: list[tuple[tuple[str, tuple[str, ...]], str, str]] = [
    (_ROLLOUT, "not (self.paused or self.failed or self.canarying)", "not (self.failed or self.canarying)"),
    (_ROLLOUT, "not (self.paused or self.failed or self.canarying)", "not (self.paused or self.canarying)"),
    (_ROLLOUT, "not (self.paused or self.failed or self.canarying)", "not (self.paused or self.failed)"),
    (_ROLLOUT, "            left -= healthy is None\n", ""),
    (_ROLLOUT, "                return 0\n            left", "                continue\n            left"),
    (_ROLLOUT, "if batch or group.update is None or", "if group.update is None or"),
    (_ROLLOUT, "if deployment.active:", "if False:"),
    (_ROLLOUT, "and not changing):\n            return", "and not changing):\n            pass"),
    (_ROLLOUT, "group.healthy_allocs < max(group.desired_total, group.desired_canaries)", "False"),
    (_CANARIES, "if rollout.failed or not rollout.is_canary(alloc):", "if False:"),
    (_CANARIES, "chosen = [index for index in going if index not in held][:many]", "chosen: list[int] = []"),
    (_SURPLUS, "alloc.name in names and", "False and"),
    (_SURPLUS, "            alloc.id not in second,\n", ""),
    (_FAILURES, "if asked.reschedule else None", ""),
    (_FAILURES, "                    ended.renew.append(alloc)\n", "                    ended.kept.append(alloc)\n"),
    (_PASS, "decision.base = self._base(allocs, group)", "decision.base = None"),
    (_DECISION, "if not request.canary]", "]"),
    (_AWAY, "decision.delayed = [(now_ns + limit_ns, alloc) for alloc in sets.lost]", "pass"),
    (_AWAY, "+ max(_KILL_MIN_NS, kill)", ""),
    (_RECONNECT, "original.job_version != job.version or", ""),
    (_RECONNECT, 'if strategy == "keep_original":', "if False:"),
    (_RECONNECT, 'if strategy == "keep_replacement":', "if False:"),
    (_RECONNECT, 'if strategy == "longest_running":', "if False:"),
    (_RECONNECT, "return _score(rival) > _score(original)", "return _score(rival) >= _score(original)"),
    (_RECONNECT, "settled.stops.append((original, GIVEN_UP))", "pass"),
    (_CLASSIFY, "if now_ns - alloc.away_since_ns >= wait_ns:", "if False:"),
    (_CLASSIFY, "alloc.client_status == ClientStatus.RUNNING and wait_ns > 0", "wait_ns > 0"),
    (_CLASSIFY, "return \"reconnecting\" if was_away else", "return"),
    (_CLASSIFY, "batch and (succeeded or drained)", "batch and succeeded"),
    (_NODEWISE, "            decision.reconnected.append(alloc)\n", "            pass\n"),
    (_NODEWISE, "self.job.type == JobType.SYSBATCH and alloc.client_terminal", "False"),
    (_NODEWISE, "if alloc.desired_transition.migrate:", "if False:"),
    (_WHOLE_SYSTEM, "min(strategy.max_parallel, -(-", "max(0, -(-"),
    (_WHOLE_SYSTEM, "-(-strategy.canary * changing // 100)", "strategy.canary * changing // 100"),
    (_WHOLE_SYSTEM, "if not self.only:\n            self.rollouts.fin", "if self.only:\n            self.rollouts.fin"),
    (_STATE, "            _cancel_wait(draft, before)\n", ""),
    (_STATE, "and other.followup_eval_id == waiting.id and not other.terminal", "and False"),
    (_LIVENESS, "any(_unheard(alloc) for alloc in allocs)", "False"),
    (_LIVENESS, "now_ns - alloc.away_since_ns < wait_ns", "True"),
]  # fmt: skip

MUTATIONS = [Mutation(file, before, after, tests) for (file, tests), before, after in _TEXTS]
