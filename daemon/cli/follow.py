"""Following evaluations and jobs live: fetch, let the pure watches and judges speak, print, wait. The shell of them.

Theory: blocking queries, at most `POLL_S` apart, never less than `PAUSE_S`; a passing failure of the agent (a new
leader, a restart) is waited out for `PATIENCE_S`. Every wait ends: by a verdict, by the job's deadlines, or by
`limit_s`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from daemon.cli.judge import HealthJudge, Outcome, Verdict, judge_complete, judge_stopped, stop_limit_s
from daemon.cli.rollout import RolloutWatch
from daemon.cli.session import Session
from daemon.cli.text import iso, many, short, span
from daemon.cli.watch import AllocWatch, EvalWatch, Line
from daemon.model.alloc import Allocation
from daemon.model.base import NS_PER_S
from daemon.model.errors import DeadlineExceeded, NotFound, NotLeader, Unavailable
from daemon.model.job import Job
from daemon.rpc.methods import ALLOC_LIST, DEPLOYMENT_GET, EVAL_GET, JOB_DEPLOYMENTS, JOB_GET, Method

A = TypeVar("A")
POLL_S = 1.0
PAUSE_S = 0.1
PATIENCE_S = 30.0
#: an evaluation that nobody works on for so long is a fault of the servers.
EVAL_LIMIT_S = 300.0
#: a rollout has deadlines of its own; this one only keeps a script from waiting for ever.
ROLLOUT_S = 24 * 3600.0


class Follower:
    """One command's view of a job that changes."""

    def __init__(self, session: Session, namespace: str, *, verbose: bool = False) -> None:
        self._session = session
        self._namespace = namespace
        self._verbose = verbose
        self._index = 0
        self._fetched_s = 0.0
        self.allocs: tuple[Allocation, ...] = ()

    def say(self, lines: Iterable[Line]) -> None:
        """Print with the time of day."""
        stamp = iso(time.time_ns())
        shown = []
        for line in lines:
            if line.bare:
                shown.append(line.text)
            else:
                shown.append(f"{'==>' if line.info else '   '} {stamp}: {line.text}")
        self._session.console.progress(shown)

    def end(self, verdict: Verdict) -> Verdict:
        """Print a verdict and hand it on."""
        details = [Line(f"    {text}", bare=True) for text in verdict.lines]
        self.say([Line(verdict.headline, info=True), *details])
        return verdict

    def fetch(self, method: Method[Any, A], **fields: Any) -> A:
        """Call, waiting out what passes.

        Raises: what did not pass within PATIENCE_S, and everything else at once.
        """
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self._session.call(method, namespace=self._namespace, **fields)
            except (NotLeader, Unavailable, DeadlineExceeded) as error:
                if time.monotonic() > until:
                    raise
                self.say([Line(f"The agent cannot answer now ({error.message}); trying again")])
                time.sleep(POLL_S)

    def changed(self, method: Method[Any, A], **fields: Any) -> A:
        """Read what changes: waits for a newer index than the last one, `POLL_S` at most."""
        since = time.monotonic() - self._fetched_s
        if since < PAUSE_S:
            time.sleep(PAUSE_S - since)
        answer = self.fetch(
            method, min_query_index=self._index, max_query_time_ns=int(POLL_S * NS_PER_S), **fields
        )
        index = getattr(answer, "index", 0)
        # An index that went back belongs to another agent, or a new state: begin again.
        self._index = index if index >= self._index else 0
        self._fetched_s = time.monotonic()
        return answer

    def evaluation(self, eval_id: str, limit_s: float = EVAL_LIMIT_S) -> Verdict:
        """Follow an evaluation, and those that go on with its work, until they are over."""
        until = time.monotonic() + limit_s
        while True:
            self.say([Line(f'Monitoring evaluation "{short(eval_id, self._verbose)}"', info=True)])
            watch = EvalWatch(eval_id, verbose=self._verbose)
            self._index = 0
            while watch.ended is None:
                # The evaluation is read first: when it is over, its allocations are all there.
                answer = self.changed(EVAL_GET, id=eval_id)
                self.allocs = self.fetch(ALLOC_LIST, eval=eval_id).allocations
                self.say(watch.step(answer, self.allocs))
                if watch.ended is None and time.monotonic() > until:
                    text = f'Evaluation "{short(eval_id)}" is still {answer.evaluation.status} after {span(limit_s)}'
                    return self.end(Verdict(Outcome.TIMED_OUT, text))
            each = watch.ended
            if each.failed_tg_allocs or each.status == "blocked":
                count = many(len(each.failed_tg_allocs), "group")
                return Verdict(Outcome.BLOCKED, f"{count} could not be placed whole")
            if each.status != "complete":
                about = f": {each.status_description}" if each.status_description else ""
                return Verdict(Outcome.FAILED, f'Evaluation "{short(each.id)}" ended as {each.status}{about}')
            if not each.next_eval:
                return Verdict(Outcome.PLACED, f'Evaluation "{short(each.id)}" is complete')
            eval_id = each.next_eval

    def _until(self, job_id: str, step: Callable[[], Verdict | None], limit_s: float) -> Verdict | None:
        """Refresh and step until there is a verdict or the time is up."""
        until = time.monotonic() + limit_s
        watch = AllocWatch(verbose=self._verbose)
        watch.adopt(self.allocs)
        self._index = 0
        while True:
            self.allocs = self.changed(ALLOC_LIST, job=job_id).allocations
            self.say(watch.step(self.allocs))
            verdict = step()
            if verdict is not None:
                return self.end(verdict)
            if time.monotonic() > until:
                return None

    def health(self, job: Job, version: int, limit_s: float, *, until_healthy: bool = False) -> Verdict:
        """Follow a service or system job until it is healthy, or cannot become so in time.

        Canaries that wait for a person end it as well, unless `until_healthy`.
        """
        judge = HealthJudge(job, version, time.monotonic())
        rollout = RolloutWatch(job.id, version, until_healthy=until_healthy, verbose=self._verbose)

        def step() -> Verdict | None:
            # Read after the allocations: what it says of their health, they say as well. A job that was taken
            # back has a newer deployment already.
            listed = self.fetch(JOB_DEPLOYMENTS, id=job.id).deployments
            row = next((each for each in listed if each.job_version == version), None)
            news, ended = rollout.step(row)
            lines, verdict = judge.step(
                time.monotonic(), self.allocs, patient=rollout.patient(row), forgiven=rollout.forgiven(row)
            )
            self.say([*news, *lines])
            if (
                ended is None
                and verdict is not None
                and verdict.exit_code == 0
                and row is not None
                and row.active
            ):
                # its version is not known to be good before the rollout has ended.
                return None
            return ended or verdict

        return self._until(job.id, step, limit_s) or self._late(job.id, "healthy", limit_s)

    def rollout(self, deployment_id: str, limit_s: float = ROLLOUT_S) -> Verdict:
        """Follow a deployment to its end; canaries that wait for a person do not end it."""
        until = time.monotonic() + limit_s
        watch: RolloutWatch | None = None
        self._index = 0
        while True:
            row = self.changed(DEPLOYMENT_GET, id=deployment_id).deployment
            if row is None:
                raise NotFound(f"deployment {deployment_id} was collected while it was followed")
            if watch is None:
                watch = RolloutWatch(row.job_id, row.job_version, until_healthy=True, verbose=self._verbose)
            lines, verdict = watch.step(row)
            self.say([*lines, *watch.progress(row)])
            if verdict is None and not row.active:
                text = f'Job "{row.job_id}": version {row.job_version} is rolled out'
                verdict = Verdict(Outcome.HEALTHY, text)
            if verdict is not None:
                return self.end(verdict)
            if time.monotonic() > until:
                text = f'Deployment "{short(deployment_id)}" is still {row.status} after {span(limit_s)}'
                return self.end(Verdict(Outcome.TIMED_OUT, text))

    def completion(self, job: Job, version: int, limit_s: float) -> Verdict:
        """Follow a batch job to its end."""

        def step() -> Verdict | None:
            # The status is read after the allocations; a job that is dead gets no more of them.
            status = self.fetch(JOB_GET, id=job.id).job.status
            if status == "dead":
                self.allocs = self.fetch(ALLOC_LIST, job=job.id).allocations
            return judge_complete(job, status, version, self.allocs)

        return self._until(job.id, step, limit_s) or self._late(job.id, "complete", limit_s)

    def stopping(self, job: Job, limit_s: float | None = None) -> Verdict:
        """Follow a job until none of its allocations runs."""
        limit_s = stop_limit_s(job) if limit_s is None else limit_s
        return self._until(job.id, lambda: judge_stopped(job.id, self.allocs)[1], limit_s) or self._late(
            job.id, "stopped", limit_s
        )

    def _late(self, job_id: str, wanted: str, limit_s: float) -> Verdict:
        left = [each for each in self.allocs if not each.client_terminal]
        shown = tuple(f'Allocation "{each.id[:8]}" is {each.client_status}' for each in left[:5])
        text = f'Job "{job_id}" is not {wanted} after {span(limit_s)}'
        return self.end(Verdict(Outcome.TIMED_OUT, text, shown))


def evaluation(session: Session, eval_id: str, namespace: str, *, verbose: bool = False) -> Verdict:
    """Follow one evaluation to its end."""
    try:
        return Follower(session, namespace, verbose=verbose).evaluation(eval_id)
    except NotFound as error:
        raise NotFound(
            f"{error.message}; it may have been collected: `encamp eval list` lists what is left"
        ) from error
