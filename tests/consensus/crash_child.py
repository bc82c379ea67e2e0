"""Child of the crash test: proposes job registrations and prints each index it got, until it is killed.

`ENCAMP_TEST_KILL=point:n` kills it at the n-th passage of a point of the store or of apply.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from daemon.consensus.options import LogOptions
from daemon.consensus.shell import Log
from daemon.consensus.sqlite_store import SqliteStore
from daemon.model.job import Job
from daemon.state.changes import Changes
from daemon.state.commands import AnyCommand, JobRegister
from daemon.state.state import State

_POINT, _, _COUNT = os.environ.get("ENCAMP_TEST_KILL", ":0").partition(":")
_left = int(_COUNT)


def passing(point: str) -> None:
    """Die here when this is the point and the time."""
    global _left
    if point == _POINT:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class KilledStore(SqliteStore):
    """A store that may die at each of its steps."""

    def append(self, *arguments: Any) -> None:
        passing("before-append")
        if os.environ.get("ENCAMP_TEST_BUG") == "ack-early" and self.last_index > 20:
            self.last_index += len(arguments[0])  # the deliberate bug: nothing is written
            return
        super().append(*arguments)
        passing("after-append")

    def _commit(self, db: Any) -> None:
        passing("before-commit")
        super()._commit(db)
        passing("after-commit")

    def compact(self, through_index: int) -> None:
        passing("before-compact")
        super().compact(through_index)
        passing("after-compact")

    def write_snapshot(self, mark: Any, pieces: Any) -> None:
        passing("before-snapshot")
        super().write_snapshot(mark, self._dying(pieces))
        passing("after-snapshot")

    def _dying(self, pieces: Any) -> Any:
        for piece in pieces:
            passing("within-snapshot")
            yield piece


class KilledState(State):
    """A state that may die around apply."""

    def apply(self, index: int, command: AnyCommand) -> Changes:
        passing("before-apply")
        changes = super().apply(index, command)
        passing("after-apply")
        return changes


async def main(directory: Path) -> None:
    options = LogOptions(snapshot_entries=40, snapshot_rest_s=0.0, compact_entries=16)
    log = await Log.open(directory, KilledState, store=KilledStore(directory), options=options)
    print(f"open {log.state.index} {sum(1 for _ in log.state.jobs())}", flush=True)

    async def writer(number: int) -> None:
        for turn in range(10_000):
            job = Job(id=f"{os.getpid()}-{number}-{turn}", meta={"pad": "x" * 300})
            changes = await log.propose(JobRegister(time_ns=1, job=job))
            passing("before-answer")
            sys.stdout.write(f"ack {changes.index} {job.id}\n")
            sys.stdout.flush()

    await asyncio.gather(*(writer(number) for number in range(3)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
