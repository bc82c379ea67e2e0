"""Keeps this process connected to its supervisor, whatever happens to either.

Theory: one aio_task owns the connection. When it breaks, it connects again and starts a new supervisor if
need be; then both sides are brought up to date: the statuses that this process reaped meanwhile are reported,
spare pipe ends are opened, tasks that became our children are watched. A watchdog asks now and then whether
the supervisor is alive, and `problem` says what is wrong.

Everything here happens on the loop that made the keeper; `here` brings callers of other loops to it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from plugins.driver import DriverError, TaskNotFound
from plugins.supervisor import launch, protocol
from plugins.supervisor.kernel import read_stat
from plugins.supervisor.link import Failure, Link, LinkLost
from plugins.supervisor.reaper import Reaper, ensure_subreaper
from plugins.supervisor.spares import Spares
from plugins.supervisor.types import (
    StartFailed,
    SupervisorUnavailable,
    TaskInfo,
    cgroup_parent_of,
    key_of,
)

T = TypeVar("T")

#: how long a request may take; starting a container on a busy machine is the longest.
REQUEST_S = 45.0
#: how long a supervisor may take to come up and answer.
CONNECT_S = 15.0
#: how often the watchdog asks, and how long it waits for the answer.
WATCH_S = 5.0
WATCH_ANSWER_S = 10.0
#: how often dead followers of adopted tasks are looked for, and supervisors reaped.
_SWEEP_S = 1.0


class Keeper:
    """The link to the supervisor of one directory, and what this process holds for it."""

    def __init__(self, directory: Path, logger: logging.Logger) -> None:
        self.directory = directory
        self.logger = logger
        #: what is wrong with the supervisor, in words; empty when it answers.
        self.problem = ""
        self.pid = 0
        self.link: Link | None = None
        self.ready = asyncio.Event()
        self.spares = Spares(directory)
        self._loop = asyncio.get_running_loop()
        self._reports = asyncio.Event()
        self._reaper = Reaper(cgroup_parent_of(directory), self._reports.set)
        #: supervisors that are children of this process, to be reaped by it.
        self._spawned: set[int] = set()
        self._main: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect for the first time and go on keeping the link. Raises: SupervisorUnavailable."""
        ensure_subreaper()
        try:
            for attempt in range(3):
                try:
                    await self._connect()
                    break
                except (LinkLost, Failure, TimeoutError) as error:
                    # it was just ending, or being upgraded
                    if attempt == 2:
                        raise self._unavailable("hung up", CONNECT_S, str(error)) from error
        except BaseException:
            self._release()
            raise
        self._main = asyncio.create_task(self._keep(), name=f"supervisor-keeper {self.directory}")

    async def _connect(self) -> None:
        """Get a link whose supervisor has said hello, and bring both sides up to date."""
        deadline_s = time.monotonic() + CONNECT_S
        try:
            while True:
                try:
                    link = Link(launch.connect(self.directory), self._on_event)
                    break
                except BlockingIOError:
                    why = "its queue of connections is full"
                except (FileNotFoundError, ConnectionRefusedError):
                    why = launch.last_words(self.directory)
                    self._reap_supervisors()
                    if not self._spawned:
                        self._spawned.add(launch.spawn(self.directory))
                if time.monotonic() > deadline_s:
                    raise self._unavailable("did not come up", CONNECT_S, why)
                await asyncio.sleep(0.02)
        except OSError as error:
            raise SupervisorUnavailable(
                f"cannot start the supervisor for {self.directory}: {error}"
            ) from error
        try:
            await self._greet(link)
        except BaseException:
            link.close()
            raise
        self.link = link
        self.ready.set()

    async def _greet(self, link: Link) -> None:
        reports = list(self._reaper.collected.values())
        hello = await self.ask(link, "hello", CONNECT_S, version=protocol.VERSION, exited=reports)
        self.pid = int(hello["pid"])
        if int(hello["version"]) < protocol.VERSION:
            self.logger.info(
                "the supervisor (pid %d) is older than this agent; upgrading it in place", self.pid
            )
            await self.ask(link, "upgrade", CONNECT_S)
            async with asyncio.timeout(CONNECT_S):
                await link.closed.wait()
            raise LinkLost("the supervisor is being upgraded")
        for item in reports:
            self._reaper.collected.pop(item["id"], None)
        tasks = await list_tasks(lambda after: self.ask(link, "list", CONNECT_S, after=after))
        self.spares.keep_only({task.key for task in tasks})
        for task in tasks:
            if not task.drained:
                self.spares.open(task.key)
            if task.state != "exited" and task.pid:
                self._reaper.take(task.id, task.pid, task.start)

    async def _keep(self) -> None:
        """Keep the link for the client's life. Owner: the client; cancelled by close."""
        while True:
            link = self.link
            assert link is not None
            try:
                await self._serve(link)
            except Exception:
                # without this task everybody who waits would wait for ever, so a defect ends the link and no more
                self.logger.exception("defect while watching the supervisor of %s", self.directory)
            link.close()
            self.ready.clear()
            self.logger.warning(
                "lost the supervisor of %s (pid %d); connecting again", self.directory, self.pid
            )
            delay_s = 0.0
            while True:
                try:
                    await self._connect()
                    break
                except (DriverError, Failure, LinkLost, TimeoutError) as error:
                    self.problem = str(error) or "it did not answer in time"
                    delay_s = min(5.0, delay_s * 2 or 0.2)
                    self.logger.error(
                        "supervisor of %s: %s; next try in %.1f s", self.directory, error, delay_s
                    )
                    await asyncio.sleep(delay_s)
            self.problem = ""
            self.logger.info("supervisor of %s is there (pid %d)", self.directory, self.pid)

    async def _serve(self, link: Link) -> None:
        """Watch one link until it ends: reports of reaped tasks, sweeps, the watchdog."""
        asked_s = time.monotonic()
        link.on_close = self._reports.set
        while not link.closed.is_set():
            try:
                async with asyncio.timeout(_SWEEP_S):
                    await self._reports.wait()
            except TimeoutError:
                pass  # nothing to report: time to look around
            self._reap_supervisors()
            self._reaper.sweep()
            try:
                await self._report(link)
                if time.monotonic() - asked_s >= WATCH_S:
                    asked_s = time.monotonic()
                    await self.ask(link, "hello", WATCH_ANSWER_S)
                    self.problem = ""
            except SupervisorUnavailable as error:
                self.problem = str(error)
            except (LinkLost, Failure):
                continue

    async def _report(self, link: Link) -> None:
        self._reports.clear()
        # what fails here is asked again at the next sweep
        for item in list(self._reaper.collected.values()):
            await self.ask(link, "exited", WATCH_ANSWER_S, **item)
            self._reaper.collected.pop(item["id"], None)

    def _on_event(self, message: dict[str, Any]) -> None:
        if message["event"] == "drained":
            self.spares.close(key_of(message["id"]))
        elif message["event"] == "reap":
            self._reaper.take(message["id"], message["pid"], message["start"])

    def _unavailable(self, what: str, seconds: float, why: str = "") -> SupervisorUnavailable:
        pid = launch.pid_of(self.directory)
        hint = f"; see {self.directory / protocol.LOG_NAME}"
        state = ""
        if pid and _state_of(pid) == "T":
            state, hint = " and is stopped", f"; `kill -CONT {pid}` lets it go on"
        detail = f" ({why})" if why else ""
        return SupervisorUnavailable(
            f"the supervisor of {self.directory} (pid {pid}){state} {what} within {seconds:g} s{detail}{hint}"
        )

    async def ask(self, link: Link, op: str, seconds: float, **fields: Any) -> dict[str, Any]:
        """Make one request on one link, with a deadline."""
        number, future = link.request(op, deadline=time.monotonic() + seconds, **fields)
        try:
            # the supervisor drops it at the deadline; what it did just before still gets here
            async with asyncio.timeout(seconds + 1.0):
                return await future
        except TimeoutError:
            raise self._unavailable(f"did not answer {op!r}", seconds) from None
        finally:
            link.forget(number)

    async def call(self, op: str, seconds: float = REQUEST_S, **fields: Any) -> dict[str, Any]:
        """Make a request, again after a lost link, until its deadline."""
        deadline_s = time.monotonic() + seconds
        while True:
            left_s = deadline_s - time.monotonic()
            try:
                async with asyncio.timeout(max(0.0, left_s)):
                    link = await self.current()
            except TimeoutError:
                raise self._unavailable(f"could not be reached for {op!r}", seconds, self.problem) from None
            try:
                return await self.ask(link, op, max(0.1, deadline_s - time.monotonic()), **fields)
            except LinkLost:
                continue
            except Failure as failure:
                raise error_of(failure) from None

    async def current(self) -> Link:
        """Wait for a link that is open; the caller sets the deadline."""
        while True:
            await self.ready.wait()
            if self.link is not None and not self.link.closed.is_set():
                return self.link
            # it has just broken; whoever makes the next one sets this again
            self.ready.clear()

    async def here(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the client's own loop, wherever the caller is."""
        if asyncio.get_running_loop() is self._loop:
            return await work
        if self._loop.is_closed():
            work.close()
            raise SupervisorUnavailable(f"the client of the supervisor of {self.directory} is closed")
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def _reap_supervisors(self) -> None:
        for pid in list(self._spawned):
            if _has_ended(pid):
                self._spawned.discard(pid)

    async def end(self) -> None:
        """Stop keeping the link and wait for the supervisor, which was told to leave."""
        if self._main is not None:
            self._main.cancel()
        deadline_s = time.monotonic() + CONNECT_S
        # the end of a process that may not be our child is no event here
        while time.monotonic() < deadline_s and not _has_ended(self.pid):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        self._spawned.discard(self.pid)

    async def close(self) -> None:
        """Let go; the supervisor goes on. Idempotent."""
        main, self._main = self._main, None
        if main is not None:
            main.cancel()
            await asyncio.gather(main, return_exceptions=True)
        self._release()

    @property
    def is_closed(self) -> bool:
        """True when the loop of this keeper is gone."""
        return self._loop.is_closed()

    def _release(self) -> None:
        if self.link is not None:
            self.link.close()
        self.ready.clear()
        self.spares.close_all()
        self._reaper.close()


async def list_tasks(ask: Callable[[str], Awaitable[dict[str, Any]]]) -> list[TaskInfo]:
    """Collect all pages of `list`; `ask` gets the id after which a page begins."""
    found: list[TaskInfo] = []
    while True:
        page = await ask(found[-1].id if found else "")
        found += msgspec.convert(page["tasks"], list[TaskInfo])
        if not page["more"]:
            return found


def error_of(failure: Failure) -> DriverError:
    """Return what a caller gets for an error of the supervisor."""
    if failure.kind == "not-found":
        return TaskNotFound(failure.message)
    if failure.kind in ("spawn", "launch"):
        return StartFailed(failure.kind, failure.message, failure.details)
    return DriverError(
        f"supervisor: {failure.message} [{failure.kind}]", recoverable=failure.kind in ("busy", "expired")
    )


def _state_of(pid: int) -> str:
    stat = read_stat(pid)
    return stat.state if stat else ""


def _has_ended(pid: int) -> bool:
    """Reap a supervisor that is our child, if it has ended. True also when it is none of ours and gone."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return _state_of(pid) in ("", "Z")
