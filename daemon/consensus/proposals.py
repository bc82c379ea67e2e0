"""Proposals: the bounded queue in front of the log.

Theory: a command is encoded and decoded again before it is queued. So what is logged can be read, and what is
applied is what every other server will apply; the decoded command is kept, so nothing is decoded twice.

Source: architecture.md section 5 (queues are bounded where things enter them).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from daemon.consensus.options import LogOptions
from daemon.model.base import encode
from daemon.model.errors import InvalidInput, Unavailable
from daemon.state.changes import Changes
from daemon.state.commands import AnyCommand, Envelope
from daemon.state.entries import decode_entry


class Proposal(NamedTuple):
    """A command on its way into the log."""

    command: AnyCommand
    data: bytes
    future: asyncio.Future[Changes]


class ProposalQueue:
    """Proposals that wait for the disk."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._waiting: deque[Proposal] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, command: AnyCommand) -> asyncio.Future[Changes]:
        """Queue a command; the future gives its Changes once it is durable and applied.

        Raises: Unavailable, when too much waits; InvalidInput, when it cannot be encoded.
        """
        options = self._options
        if len(self._waiting) >= options.queue_entries_max or self._bytes >= options.queue_bytes_max:
            raise Unavailable(
                f"the log is busy: {len(self._waiting)} proposals ({self._bytes} bytes) wait for the disk; "
                "try again in a moment",
                retry_after_s=0.2,
            )
        data = encoded(command)
        if len(data) > options.entry_bytes_max:
            raise InvalidInput(
                f"{type(command).__name__} takes {len(data)} bytes, an entry at most {options.entry_bytes_max}; "
                "split it"
            )
        future: asyncio.Future[Changes] = asyncio.get_running_loop().create_future()
        self._waiting.append(Proposal(decode_entry(data), data, future))
        self._bytes += len(data)
        return future

    def take(self) -> list[Proposal]:
        """The next batch, for one sync."""
        batch: list[Proposal] = []
        size = 0
        while self._waiting and len(batch) < self._options.batch_entries_max:
            size += len(self._waiting[0].data)
            if batch and size > self._options.batch_bytes_max:
                break
            proposal = self._waiting.popleft()
            self._bytes -= len(proposal.data)
            batch.append(proposal)
        return batch


def encoded(command: AnyCommand) -> bytes:
    """A command as an entry's bytes.

    Raises: InvalidInput, when it has a value that cannot be written.
    """
    try:
        return encode(Envelope(command=command))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidInput(f"{type(command).__name__} cannot be written to the log: {error}") from error


def settle(future: asyncio.Future[Changes], outcome: Changes | Exception) -> None:
    """Give a proposer its answer, if it still waits."""
    if future.done():
        return
    if isinstance(outcome, Changes):
        future.set_result(outcome)
    else:
        future.set_exception(outcome)
        # whoever proposed without waiting is not told off at garbage collection.
        future.exception()
