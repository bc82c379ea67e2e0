"""Deliberate bugs, each a small change to the core, to prove that the simulation and the scripts would notice.

The first twelve are the classic ones; `SEEDS` says within how many seeds each must be found. Those that chance does
not find are found by the scripts named in `SCRIPTS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import msgspec

from daemon.consensus.port import HardState
from daemon.consensus.raft.changing import Changing
from daemon.consensus.raft.core import RaftCore
from daemon.consensus.raft.elections import Elections
from daemon.consensus.raft.following import Following
from daemon.consensus.raft.leading import Leading
from daemon.consensus.raft.log import RaftLog
from daemon.consensus.raft.members import MemberHistory
from daemon.consensus.raft.reads import Reads
from tests.consensus.raft.raftstory import story

_take = RaftCore.take
_has_vote_for = Elections._has_vote_for
_persisted = RaftLog.persisted


def _vote_again(self, message):
    self._context.vote = ""
    return True


def _forget_vote(self):
    ready = _take(self)
    if ready.hard_state is not None:
        ready = msgspec.structs.replace(ready, hard_state=HardState(term=ready.hard_state.term))
    return ready


def _forget_hard_state(self):
    return msgspec.structs.replace(_take(self), hard_state=None)


def _by_index(self, message):
    return message.last_index >= self._context.log.last_index


def _acknowledge_at_once(self, leader, index):
    from daemon.consensus.raft.messages import AppendResponse

    self._context.send(AppendResponse(**self._context.head(leader), index=index))


def _count_late_words(self, index, term):
    known = _persisted(self, index, term)
    if known:
        self.persisted_index = min(index, self.last_index)
    return known


def _read_before_commit(self):
    context = self._context
    if not self._new:
        return False
    self.round += 1
    self._waiting.extend((self.round, question, context.commit_index) for question in self._new)
    self._new.clear()
    return True


def patched(owner: Any, name: str, value: Any) -> Callable[[], Any]:
    return lambda: mock.patch.object(owner, name, value)


MUTANTS: dict[str, Callable[[], Any]] = {
    "double vote": patched(Elections, "_has_vote_for", _vote_again),
    "raw commit in heartbeat": patched(
        Leading, "_heartbeat_commit", lambda self, peer: self._context.commit_index
    ),
    "no up-to-date check": patched(Elections, "_is_up_to_date", lambda self, message: True),
    "unconditional truncation": patched(
        Following, "_first_difference", lambda self, entries: entries[0] if entries else None
    ),
    "no prev-term check": patched(
        Following, "_agrees", lambda self, index, term: index <= self._context.log.last_index
    ),
    "term and vote not durable": patched(RaftCore, "take", _forget_hard_state),
    "index-only up-to-date": patched(Elections, "_is_up_to_date", _by_index),
    "ack before fsync": patched(Following, "_acknowledge", _acknowledge_at_once),
    "leader self-ack before fsync": patched(Leading, "_own_match", lambda self: self._context.log.last_index),
    "vote alone not durable": patched(RaftCore, "take", _forget_vote),
    "older term committed by counting": patched(Leading, "_may_count", lambda self, index: True),
    "follower commit not capped": patched(
        Following,
        "_safe_commit",
        lambda self, commit, last_new: min(commit, self._context.log.last_index),
    ),
    "two changes at once": patched(Changing, "_is_change_open", lambda self: False),
    "change before the term's first commit": patched(Changing, "_has_own_commit", lambda self: True),
    "members not rolled back": patched(MemberHistory, "truncate", lambda self, index: None),
    "read without a round": patched(Reads, "_confirmed_round", lambda self, peers: self.round),
    "read before the term's first commit": patched(Reads, "open_round", _read_before_commit),
    "snapshot always resets the log": patched(
        Following,
        "_agrees",
        lambda self, index, term: self._context.log.term(index) == term and not _in_snapshot(),
    ),
    "late word of the disk counts": patched(RaftLog, "persisted", _count_late_words),
}

#: within how many seeds each is found; measured: 2, 1, 2, 1, 12, 1, 30, 1, 10, 1, 1, 23, 2. Those of
#: `raftscripts.SCRIPTS` need a script.
SEEDS = {
    "double vote": 20,
    "raw commit in heartbeat": 10,
    "no up-to-date check": 10,
    "unconditional truncation": 20,
    "no prev-term check": 100,
    "term and vote not durable": 5,
    "index-only up-to-date": 200,
    "ack before fsync": 5,
    "leader self-ack before fsync": 60,
    "vote alone not durable": 5,
    "two changes at once": 20,
    "read without a round": 150,
    "read before the term's first commit": 20,
}


def _in_snapshot() -> bool:
    import sys

    return sys._getframe(2).f_code.co_name == "on_snapshot"


def hunt(mutant: str, seeds: int) -> tuple[int, str]:
    """How many seeds it took, and what was seen; (0, "") when it lives."""
    with MUTANTS[mutant]():
        for seed in range(seeds):
            try:
                story(seed)
            except Exception as error:  # a mutant may break the code itself
                return seed + 1, f"{type(error).__name__}: {error}".splitlines()[0]
    return 0, ""
