"""What all parts of the server role share: state, log, clock, ids."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable
from typing import Protocol

from daemon.aio.signal import Signal
from daemon.model.enums import JobType, Trigger
from daemon.model.errors import PermissionDenied
from daemon.model.evaluation import Evaluation
from daemon.model.job import Job
from daemon.state.changes import Changes
from daemon.state.commands import AnyCommand
from daemon.state.state import State


class Proposer(Protocol):
    """Puts a command into the log; returns what it did once it is on disk and applied."""

    async def __call__(self, command: AnyCommand) -> Changes:
        """Raises the EncampError that the command came to, or Unavailable when the log takes none."""


class Clock:
    """Wall time that never goes back, and monotonic time. Tests and the simulation bring their own."""

    def __init__(
        self, wall_ns: Callable[[], int] = time.time_ns, mono_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall_ns = wall_ns
        self._last_ns = 0
        self.mono_s = mono_s

    def now_ns(self) -> int:
        """Wall time in ns, at least as late as all that was given out before."""
        self._last_ns = max(self._last_ns, self._wall_ns())
        return self._last_ns

    def witness(self, time_ns: int) -> None:
        """A time seen in the log: ours does not fall behind it."""
        self._last_ns = max(self._last_ns, time_ns)


class Ids:
    """Makes UUIDs from a random source that tests can seed."""

    def __init__(self, source: random.Random | None = None) -> None:
        self._source = source or random.SystemRandom()

    def new(self) -> str:
        """A version 4 UUID."""
        return str(uuid.UUID(int=self._source.getrandbits(128), version=4))

    def seed(self) -> int:
        """A seed for one scheduler run."""
        return self._source.getrandbits(63)


class ServerContext:
    """Handed to every endpoint and service."""

    def __init__(self, state: State, propose: Proposer, clock: Clock, ids: Ids, *, region: str) -> None:
        self.state = state
        self.propose = propose
        self.clock = clock
        self.ids = ids
        self.region = region
        #: asked before new work is taken in: (what, stopping) -> raises Unavailable.
        self.admit: Callable[[str, bool], None] = lambda what, stopping: None
        #: raised to the state's index after each entry; blocking queries wait on it.
        self.index_signal = Signal()

    def check_open(self, what: str) -> None:
        """Raises PermissionDenied while operators let no new work in."""
        if self.state.scheduler_config.reject_job_registration:
            raise PermissionDenied(
                f"{what} was not accepted: reject_job_registration is set; an operator ends that with "
                "`encamp operator scheduler set-config -reject-job-registration false`"
            )

    def check_places(self, job: Job) -> list[str]:
        """Problems of a job whose namespace or node pool is unknown."""
        problems = []
        if self.state.scopes.namespace(job.namespace) is None:
            known = ", ".join(self.state.scopes.namespaces())
            problems.append(f"namespace: there is no namespace {job.namespace!r}; there are: {known}")
        if self.state.scopes.node_pool(job.node_pool) is None:
            known = ", ".join(self.state.scopes.node_pools())
            problems.append(f"node_pool: there is no node pool {job.node_pool!r}; there are: {known}")
        return problems

    def observe(self, changes: Changes) -> None:
        """Consumer of changes: wake the blocking queries, keep the clock ahead of the log."""
        self.clock.witness(changes.time_ns)
        self.index_signal.raise_to(changes.index)

    def evaluation(
        self,
        job: Job,
        trigger: Trigger,
        *,
        priority: int = 0,
        node_id: str = "",
        type_: str = "",
        deployment_id: str = "",
    ) -> Evaluation:
        """A new pending evaluation of a job."""
        now = self.clock.now_ns()
        return Evaluation(
            id=self.ids.new(),
            namespace=job.namespace,
            job_id=job.id,
            type=type_ or job.type.value,
            priority=priority or job.priority,
            triggered_by=trigger,
            node_id=node_id,
            deployment_id=deployment_id,
            job_modify_index=job.job_modify_index,
            create_time_ns=now,
            modify_time_ns=now,
        )


def is_system(job: Job) -> bool:
    """True for jobs that want one allocation on every node."""
    return job.type in (JobType.SYSTEM, JobType.SYSBATCH)


def is_parent(job: Job) -> bool:
    """True for jobs that are not run themselves but launched, as children: by cron or by dispatch."""
    return job.periodic is not None or job.parameterized_job is not None
