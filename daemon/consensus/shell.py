"""Log: the replicated log as the rest of a server uses it: propose a command, get its Changes.

Theory: one aio_task drives the core: it hands batches to the writer's thread (group commit: what comes in while the
disk is busy shares the next sync), and applies what is committed while the disk works on the next batch. After each
applied entry the consumers are called, in their fixed order, then the proposer gets its answer. So an answer means:
durable, applied, and known to every consumer.
A full disk refuses writes and is tried again; a failed write or sync closes the log for writes, for good. Reads of
`state` go on in both cases.
Non-goals: what commands mean; who may propose.

Source: architecture.md "Consensus"; spec/gossip-and-raft.md 3.4, 4.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from daemon.consensus.logstore import LogStore, StoreBroken, StoreFull
from daemon.consensus.memory_store import MemoryStore
from daemon.consensus.options import LogOptions
from daemon.consensus.port import Consensus, Entry, Ready, Role
from daemon.consensus.proposals import Proposal, ProposalQueue, settle
from daemon.consensus.restoring import apply_entry, restore
from daemon.consensus.single import SingleServer
from daemon.consensus.snapshotting import Snapshotter
from daemon.consensus.sqlite_store import SqliteStore
from daemon.model.errors import DeadlineExceeded, EncampError, InvariantBroken, Unavailable
from daemon.state.changes import Changes
from daemon.state.commands import AnyCommand
from daemon.state.state import State

Consumer = Callable[[Changes], None]

_log = logging.getLogger("encamp.log")


class Log:
    """One server's log and the state that comes of it. Made by `open`; owned and closed by who opened it."""

    def __init__(self, store: LogStore, options: LogOptions) -> None:
        self._store = store
        self._options = options
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="log-writer")
        self._queue = ProposalQueue(options)
        self._in_flight: dict[int, Proposal] = {}
        self._consumers: tuple[Consumer, ...] = ()
        self._wake = asyncio.Event()
        self._closing = False
        self._fault: EncampError | None = None
        self._faulted = asyncio.Event()
        self._full_until_s = 0.0
        self._full: StoreFull | None = None
        self._applied_term = 0
        self._aio_task: asyncio.Task[None] | None = None
        self._core: Consensus
        self._snapshotter: Snapshotter
        self.state: State

    @classmethod
    async def open(
        cls,
        directory: Path | str | None,
        state_type: type[State] = State,
        *,
        options: LogOptions | None = None,
        store: LogStore | None = None,
        server_id: str = "",
    ) -> Log:
        """Restore the state from a directory (None: memory only), and begin a term.

        Raises: StoreCorrupt, StoreFull, StoreBroken: with the file, and what to do.
        """
        if store is None:
            store = MemoryStore() if directory is None else SqliteStore(Path(directory))
        log = cls(store, options or LogOptions())
        try:
            await log._begin(state_type, server_id)
        except BaseException:
            await log._release()
            raise
        return log

    # what users see ------------------------------------------------------------------------------------

    @property
    def fault(self) -> EncampError | None:
        """Why nothing can be written any more; None while all is well."""
        return self._fault

    @property
    def is_leader(self) -> bool:
        """True when this server takes proposals."""
        return self._core.role is Role.LEADER and self._fault is None

    @property
    def term(self) -> int:
        """The current term."""
        return self._core.term

    def attach(self, consumers: Sequence[Consumer]) -> None:
        """Set the fixed list of consumers, once. Each is called at once with a reset."""
        if self._consumers:
            raise InvariantBroken("the consumers of a log are set once")
        self._consumers = tuple(consumers)
        reset = self.state.reset_changes()
        for consumer in self._consumers:
            consumer(reset)

    async def propose(self, command: AnyCommand, *, timeout_s: float = 30.0) -> Changes:
        """Write a command to the log; returns when it is durable and applied.

        Raises: what the command met (Conflict, NotFound, ...); Unavailable when it cannot be written now;
        DeadlineExceeded when it is unknown whether it took effect.
        """
        future = self.propose_nowait(command)
        try:
            async with asyncio.timeout(timeout_s):
                changes = await future
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"{type(command).__name__} was not written within {timeout_s:g} s; it may still take effect"
            ) from error
        if isinstance(changes.result, EncampError):
            raise changes.result
        return changes

    def propose_nowait(self, command: AnyCommand) -> asyncio.Future[Changes]:
        """Queue a command. The future gives its Changes, also when `Changes.result` is an error.

        Commands take effect in the order in which they are proposed.
        Raises: Unavailable, when it cannot be taken now; InvalidInput, when it cannot be encoded.
        """
        if self._fault is not None:
            raise Unavailable(f"the log takes no writes: {self._fault}", retry_after_s=None)
        if self._closing:
            raise Unavailable("the log is closing; ask another server, or try again after the restart")
        if self._full is not None and time.monotonic() < self._full_until_s:
            raise Unavailable(str(self._full), retry_after_s=self._options.full_pause_s)
        future = self._queue.put(command)
        self._wake.set()
        return future

    async def wait_fault(self) -> EncampError:
        """Wait until the log has to give up writing."""
        await self._faulted.wait()
        assert self._fault is not None
        return self._fault

    async def snapshot(self) -> None:
        """Take a snapshot now, and compact; for operators and tests."""
        await self._snapshotter.start(self.state, self._applied_term)

    @property
    def queued(self) -> int:
        """Proposals that wait for the disk."""
        return len(self._queue)

    def status(self) -> dict[str, Any]:
        """Figures for metrics and operators."""
        return {
            "role": self._core.role.name.lower(),
            "term": self._core.term,
            "last_index": self._core.last_index,
            "commit_index": self._core.commit_index,
            "applied_index": self.state.index,
            "first_index": self._store.first_index,
            "queued": len(self._queue),
            "is_full": self._full is not None,
            "fault": str(self._fault) if self._fault else "",
        }

    async def close(self) -> None:
        """Write what is queued, within a deadline; then release everything."""
        if self._closing:
            return
        self._closing = True
        self._wake.set()
        if self._aio_task is not None:
            _, late = await asyncio.wait({self._aio_task}, timeout=self._options.close_timeout_s)
            if late:
                self._aio_task.cancel()
                await asyncio.gather(self._aio_task, return_exceptions=True)
        self._refuse_all(Unavailable("the log was closed before this was written"))
        await self._release()

    # the life of it ------------------------------------------------------------------------------------

    async def _begin(self, state_type: type[State], server_id: str) -> None:
        store = self._store
        await self._in_writer(store.open)
        restored = await self._in_writer(restore, store, state_type)
        self.state = restored.state
        self._applied_term = restored.mark.term
        self._core = SingleServer(
            server_id, store.hard_state, restored.mark.index, store.last_index, restored.entries
        )
        self._snapshotter = Snapshotter(
            store, self._options, partial(self._in_writer, store.compact), self._fail
        )
        self._core.campaign()
        ready = self._core.take()
        await self._in_writer(store.append, ready.entries, ready.hard_state, ready.truncate_from)
        self._core.persisted(ready.entries[-1].index, ready.entries[-1].term)
        await self._apply(self._core.take().committed)
        self._aio_task = asyncio.create_task(self._run(), name="log")

    async def _run(self) -> None:
        """Drive the core until the log is closed or has failed."""
        try:
            while self._fault is None:
                batch = self._queue.take()
                if not batch and self._core.commit_index == self.state.index:
                    if self._closing:
                        return
                    await self._wake.wait()
                    self._wake.clear()
                    continue
                await self._turn(batch)
        except Exception as error:
            _log.exception("the log failed at entry %d", self.state.index)
            self._fail(error)

    async def _turn(self, batch: list[Proposal]) -> None:
        """Write one batch, and apply meanwhile what was committed before."""
        if batch:
            indexes = self._core.propose([proposal.data for proposal in batch])
            self._in_flight.update(zip(indexes, batch, strict=True))
        ready = self._core.take()
        if not ready.to_persist:
            await self._apply(ready.committed)
            return
        writing = asyncio.ensure_future(self._persist(ready))
        try:
            await self._apply(ready.committed)
        finally:
            await writing

    async def _persist(self, ready: Ready) -> None:
        entries = ready.entries
        try:
            await self._in_writer(self._store.append, entries, ready.hard_state, ready.truncate_from)
        except StoreFull as error:
            if self._full is None:
                _log.error("%s; writes are refused until there is space", error)
            self._full = error
            self._full_until_s = time.monotonic() + self._options.full_pause_s
            if entries:
                self._core.not_persisted(entries[0].index)
            refusal = Unavailable(str(error), retry_after_s=self._options.full_pause_s)
            for entry in entries:
                self._answer(entry.index, refusal)
            return
        except StoreBroken as error:
            self._fail(error)
            return
        if self._full is not None:
            _log.warning("the log %s takes writes again", self._store.where)
            self._full = None
        if entries:
            self._core.persisted(entries[-1].index, entries[-1].term)

    async def _apply(self, committed: Sequence[Entry]) -> None:
        """Apply entries, and tell the consumers and the proposers."""
        turn_s = time.monotonic()
        for entry in committed:
            self._apply_one(entry)
            self._snapshotter.count(1, len(entry.data))
            if time.monotonic() - turn_s > self._options.apply_turn_s:
                await asyncio.sleep(0)
                turn_s = time.monotonic()
        self._snapshotter.maybe_start(self.state, self._applied_term)

    def _apply_one(self, entry: Entry) -> None:
        proposal = self._in_flight.get(entry.index)
        if proposal is not None:
            changes = self.state.apply(entry.index, proposal.command)
        else:
            changes = apply_entry(self.state, entry, self._store.where)
        self._applied_term = entry.term
        self._core.applied(entry.index)
        for consumer in self._consumers:
            consumer(changes)
        if proposal is not None:
            del self._in_flight[entry.index]
            settle(proposal.future, changes)

    def _answer(self, index: int, error: EncampError) -> None:
        proposal = self._in_flight.pop(index, None)
        if proposal is not None:
            settle(proposal.future, error)

    def _fail(self, error: Exception) -> None:
        """Nothing is written from now on; whoever waits learns that the outcome is unknown."""
        if self._fault is None:
            self._fault = (
                error
                if isinstance(error, EncampError)
                else InvariantBroken(
                    f"the log failed at entry {self.state.index}: {type(error).__name__}: {error}; restart this server"
                )
            )
            _log.error("the log is closed for writes: %s", self._fault)
            self._faulted.set()
            self._wake.set()
        self._refuse_all(
            Unavailable(
                f"{self._fault}; whether this was written is known after a restart", outcome="unknown"
            )
        )

    def _refuse_all(self, error: EncampError) -> None:
        for index in list(self._in_flight):
            self._answer(index, error)
        while batch := self._queue.take():
            for proposal in batch:
                settle(proposal.future, error)

    async def _in_writer(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._writer, function, *arguments)

    async def _release(self) -> None:
        """Stop the threads and close the store."""
        try:
            async with asyncio.timeout(self._options.release_timeout_s):
                if hasattr(self, "_snapshotter"):
                    await self._snapshotter.close()
                await self._in_writer(self._store.close)
        except TimeoutError:
            _log.error(
                "the disk under %s has not answered for %.0f s; its thread is left behind, "
                "and this process may have to be killed",
                self._store.where,
                self._options.release_timeout_s,
            )
            self._writer.shutdown(wait=False)
            return
        self._writer.shutdown(wait=True)
