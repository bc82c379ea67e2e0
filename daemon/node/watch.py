"""Follows what the servers want of this node: a blocking query for indexes, then a fetch of what is new.

Theory: the answer of the query is the whole list (id -> index). What is newer than what the node has is fetched;
what the node holds beside the list is forgotten by the servers, and ended and removed here. An answer of a server
that lags behind is recognised by its indexes and asked for again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from daemon.aio.retry import backoff_s
from daemon.model.alloc import Allocation
from daemon.model.errors import EncampError, Unavailable
from daemon.model.job import Job
from daemon.node.identity import Identity
from daemon.node.ports import ServerPort
from daemon.rpc.messages import FetchAllocsRequest, NodeAllocsRequest
from daemon.rpc.methods import NODE_ALLOCS, NODE_FETCH

log = logging.getLogger("encamp.node")

_BLOCK_S = 60.0
_FETCH_S = 30.0
_FETCH_MAX = 128
_RETRY_MAX_S = 5.0

#: the job is None when the servers have it no more (it was purged).
Arrived = Callable[[Allocation, Job | None], Awaitable[None]]


class Watch:
    """The node's view of what it is to run. One loop, `run`, owned by the node agent."""

    def __init__(
        self,
        identity: Identity,
        server: ServerPort,
        *,
        known: Callable[[], dict[str, int]],
        arrived: Arrived,
        vanished: Callable[[list[str]], Awaitable[None]],
    ) -> None:
        self._identity = identity
        self._server = server
        #: id -> alloc_modify_index of what the node holds.
        self._known = known
        self._arrived = arrived
        self._vanished = vanished
        #: what was looked at and is of no concern: id -> index.
        self._seen: dict[str, int] = {}
        self._index = 0
        self._random = random.Random()

    async def run(self) -> None:
        """Follow for ever."""
        tries = 0
        while True:
            try:
                await self._round()
                tries = 0
            except EncampError as error:
                tries += 1
                if tries in (1, 5) or tries % 50 == 0:
                    log.warning("no server says what this node is to run (try %d): %s", tries, error)
                await asyncio.sleep(backoff_s(tries, first_s=0.1, max_s=_RETRY_MAX_S, random_=self._random))

    async def _round(self) -> None:
        request = NodeAllocsRequest(
            node_id=self._identity.node_id,
            secret_id=self._identity.secret_id,
            min_query_index=self._index,
            max_query_time_ns=int(_BLOCK_S * 1e9),
        )
        answer = await self._server.call(NODE_ALLOCS, request, timeout_s=_BLOCK_S + 15.0)
        if answer.index < self._index:
            log.warning("the servers' index went back from %d to %d", self._index, answer.index)
        complete = await self._take(answer.allocs)
        self._index = answer.index if complete else 0
        if not complete:
            raise Unavailable("the servers did not send all allocations that they had listed")

    async def _take(self, wanted: dict[str, int]) -> bool:
        known = self._known()
        gone = [alloc_id for alloc_id in known if alloc_id not in wanted]
        if gone:
            await self._vanished(gone)
        self._seen = {alloc_id: index for alloc_id, index in self._seen.items() if alloc_id in wanted}
        new = [
            alloc_id
            for alloc_id, index in wanted.items()
            if known.get(alloc_id, self._seen.get(alloc_id, -1)) < index
        ]
        complete = True
        for start in range(0, len(new), _FETCH_MAX):
            part = new[start : start + _FETCH_MAX]
            complete &= await self._fetch(part, wanted)
        return complete

    async def _fetch(self, ids: list[str], wanted: dict[str, int]) -> bool:
        request = FetchAllocsRequest(
            node_id=self._identity.node_id, secret_id=self._identity.secret_id, alloc_ids=tuple(ids)
        )
        answer = await self._server.call(NODE_FETCH, request, timeout_s=_FETCH_S)
        jobs = {(job.namespace, job.id, job.version): job for job in answer.jobs}
        fresh = 0
        for alloc in answer.allocations:
            job = jobs.get((alloc.namespace, alloc.job_id, alloc.job_version))
            if alloc.alloc_modify_index < wanted.get(alloc.id, 0):
                continue
            await self._arrived(alloc, job)
            self._seen[alloc.id] = alloc.alloc_modify_index
            fresh += 1
        return fresh == len(ids)
