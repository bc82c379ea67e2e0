"""The agent's side of the supervisor: `SupervisorClient`.

Theory: `ensure` finds or starts the supervisor of a directory and stays connected (see `keeper`). All
requests can be repeated, so after a lost link they are, until their deadline; only commands (`run`) end with
the link. Every request has a deadline except `wait`, which lasts as long as its task.

The client belongs to the loop that made it. Its methods may be awaited on any loop: drivers run on loops of
their own. Not here: what to run and when (drivers, node).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from plugins.cgroups.detect import Machine, find_machine, why_unusable
from plugins.driver import DriverError, ExitResult, TaskNotFound
from plugins.supervisor.keeper import REQUEST_S, Keeper, error_of, list_tasks
from plugins.supervisor.link import Failure, LinkLost
from plugins.supervisor.types import (
    CommandSpec,
    ProcessSpec,
    SupervisorUnavailable,
    TaskInfo,
    cgroup_parent_of,
    key_of,
)

#: a shutdown is answered at once.
_SHUTDOWN_S = 5.0
#: after SIGKILL nothing should take longer, unless a process hangs in the kernel.
KILL_S = 30.0


class SupervisorClient:
    """Connection to the supervisor of one data directory; see `ensure`."""

    def __init__(self, directory: Path, logger: logging.Logger) -> None:
        self.directory = directory
        #: name of the cgroup above all tasks of this supervisor.
        self.cgroup_parent = cgroup_parent_of(directory)
        self._keeper = Keeper(directory, logger)
        self._waits: dict[str, asyncio.Task[TaskInfo]] = {}

    @classmethod
    async def ensure(cls, directory: Path, *, logger: logging.Logger | None = None) -> SupervisorClient:
        """Connect to the supervisor of a directory, starting it where none runs.

        Raises: SupervisorUnavailable when it cannot be started or does not answer in time.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        client = cls(directory, logger or logging.getLogger("encamp.supervisor"))
        await client._keeper.open()
        return client

    @property
    def problem(self) -> str:
        """What is wrong with the supervisor, in words; empty when it answers."""
        return self._keeper.problem

    @property
    def pid(self) -> int:
        """The supervisor's process id, for people; 0 before it was known."""
        return self._keeper.pid

    def marker_of(self, task_id: str) -> str:
        """Return the value of the variable that marks a task's processes where there is no cgroup."""
        return str(self.directory.absolute() / "tasks" / key_of(task_id))

    @staticmethod
    def cgroups() -> tuple[Machine | None, str]:
        """Return (this machine's usable hierarchies or None, why there are none)."""
        machine = find_machine()
        why = why_unusable(machine)
        return (None, why) if why else (machine, "")

    async def start(self, spec: ProcessSpec) -> TaskInfo:
        """Start a process; one that is already there under this id is taken over (`existing`).

        Raises: StartFailed with nothing left behind, SupervisorUnavailable.
        """
        return await self._keeper.here(self._start(spec))

    async def _start(self, spec: ProcessSpec) -> TaskInfo:
        key = key_of(spec.id)
        self._keeper.spares.open(key, make=True)
        try:
            answer = await self._keeper.call("start", key=key, spec=msgspec.to_builtins(spec))
        except DriverError:
            self._keeper.spares.discard(key)
            raise
        return msgspec.convert(answer, TaskInfo)

    async def recover(self, task_id: str) -> TaskInfo:
        """Return what is known of a task. Raises: TaskNotFound."""
        for task in await self.list():
            if task.id == task_id:
                return task
        raise TaskNotFound(f"the supervisor of {self.directory} knows no task {task_id!r}")

    async def list(self) -> Sequence[TaskInfo]:
        """Return all tasks, ended ones too until they are destroyed."""
        return await self._keeper.here(self._list())

    async def _list(self) -> Sequence[TaskInfo]:
        return await list_tasks(lambda after: self._keeper.call("list", after=after))

    async def signal(self, task_id: str, number: int) -> None:
        """Send a signal to the main process. Raises: TaskNotFound when it does not run."""
        await self._keeper.here(self._keeper.call("signal", id=task_id, number=number))

    async def kill(self, task_id: str) -> None:
        """Kill everything that the task has started; returns at once. Raises: TaskNotFound."""
        await self._keeper.here(self._keeper.call("kill", id=task_id))

    async def wait(self, task_id: str) -> ExitResult:
        """Wait for the end of a task. Raises: TaskNotFound."""
        info = await self._keeper.here(self._wait(task_id))
        if info.exit is None:
            raise TaskNotFound(f"task {task_id!r} was destroyed while its end was waited for")
        return info.exit

    async def _wait(self, task_id: str) -> TaskInfo:
        shared = self._waits.get(task_id)
        if shared is None:
            shared = asyncio.create_task(self._wait_on_wire(task_id), name=f"supervisor-wait {task_id}")
            self._waits[task_id] = shared
            shared.add_done_callback(lambda done: self._waited(task_id, done))
        return await asyncio.shield(shared)

    def _waited(self, task_id: str, done: asyncio.Task[TaskInfo]) -> None:
        if self._waits.get(task_id) is done:
            del self._waits[task_id]
        if not done.cancelled():
            done.exception()  # it was raised to everyone who still waits

    async def _wait_on_wire(self, task_id: str) -> TaskInfo:
        while True:
            link = await self._keeper.current()
            try:
                _, future = link.request("wait", id=task_id)
                return msgspec.convert(await future, TaskInfo)
            except LinkLost:
                continue
            except Failure as failure:
                raise error_of(failure) from None

    async def stop(self, task_id: str, number: int, timeout_s: float) -> None:
        """Send a signal, wait, then kill everything. Returns when nothing is left. Idempotent."""
        try:
            info = await self.recover(task_id)
        except TaskNotFound:
            return
        if info.state == "exited":
            return
        try:
            if timeout_s > 0:
                await self.signal(task_id, number)
                async with asyncio.timeout(timeout_s):
                    await self.wait(task_id)
                return
        except TimeoutError:
            self._keeper.logger.info(
                "task %s did not end within %g s of signal %d", task_id, timeout_s, number
            )
        except TaskNotFound:
            pass  # it ended between the two; what it left is being killed
        try:
            await self.kill(task_id)
            async with asyncio.timeout(KILL_S):
                await self.wait(task_id)
        except TaskNotFound:
            return
        except TimeoutError:
            raise DriverError(
                f"task {task_id!r} has not ended {KILL_S:g} s after SIGKILL", recoverable=True
            ) from None

    async def destroy(self, task_id: str) -> None:
        """Kill a task if it runs and forget it. Idempotent."""
        await self._keeper.here(self._destroy(task_id))

    async def _destroy(self, task_id: str) -> None:
        await self._keeper.call("destroy", id=task_id)
        self._keeper.spares.discard(key_of(task_id))

    async def run(self, task_id: str, spec: CommandSpec, fds: tuple[int, int, int]) -> ExitResult:
        """Run a command beside a task on these descriptors, and wait for it; cancelling kills it.

        The descriptors are taken over and closed. Raises: TaskNotFound, StartFailed, SupervisorUnavailable.
        """
        return await self._keeper.here(self._run(task_id, spec, fds))

    async def _run(self, task_id: str, spec: CommandSpec, fds: tuple[int, int, int]) -> ExitResult:
        try:
            async with asyncio.timeout(REQUEST_S):
                link = await self._keeper.current()
            number, future = link.request("run", list(fds), id=task_id, spec=msgspec.to_builtins(spec))
        except TimeoutError:
            raise SupervisorUnavailable(f"no command can run in task {task_id!r}: {self.problem}") from None
        except LinkLost:
            raise SupervisorUnavailable(f"the supervisor has just ended; task {task_id!r} goes on") from None
        finally:
            for fd in fds:
                os.close(fd)
        try:
            answer = await future
        except asyncio.CancelledError:
            if not link.closed.is_set():
                _, cancelled = link.request("cancel", run=number)
                cancelled.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise
        except LinkLost:
            raise SupervisorUnavailable(
                f"the supervisor ended while a command ran in task {task_id!r}"
            ) from None
        except Failure as failure:
            raise error_of(failure) from None
        return msgspec.convert(answer["exit"], ExitResult)

    async def upgrade(self) -> None:
        """Let the supervisor replace its program in place; tasks and descriptors stay.

        Raises: DriverError.
        """
        await self._keeper.here(self._keeper.call("upgrade"))

    async def shutdown(self, *, force: bool = False) -> None:
        """End the supervisor and this client. Raises: DriverError when tasks run and `force` is not set."""
        await self._keeper.here(self._shutdown(force))

    async def _shutdown(self, force: bool) -> None:
        keeper = self._keeper
        async with asyncio.timeout(REQUEST_S):
            await keeper.current()
        # it hangs up with its answer; nobody may take that for a crash and start another one
        main, keeper._main = keeper._main, None
        if main is not None:
            main.cancel()
            await asyncio.gather(main, return_exceptions=True)
        try:
            await keeper.call("shutdown", _SHUTDOWN_S, force=force)
        except BaseException:
            keeper._main = asyncio.create_task(keeper._keep(), name=f"supervisor-keeper {self.directory}")
            raise
        await keeper.end()
        await self._close()

    async def close(self) -> None:
        """Let go; supervisor and tasks go on. Idempotent."""
        if not self._keeper.is_closed:
            await self._keeper.here(self._close())

    async def _close(self) -> None:
        waits = list(self._waits.values())
        for shared in waits:
            shared.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        await self._keeper.close()
