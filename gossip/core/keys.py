"""Key rotation: reserved queries that install, use, remove and list keys on every member. Pure.

Theory: a step counts only when every member confirmed it, the failed ones included: a member that was down during
`remove` would be locked out. Keys travel and are listed only in encrypted packets; lists name keys by fingerprint. A
member confirms after the key is kept on disk.
Source: serf's key queries; serf#579 for who was down, memberlist#59 for clear channels.
"""

from __future__ import annotations

import hashlib

import msgspec

from gossip.core.actions import SaveKeys
from gossip.core.context import Context
from gossip.core.querying import RESERVED, Querying
from gossip.errors import KeyringError
from gossip.model import QueryResult, State
from gossip.wire.messages import Query

INSTALL, USE, REMOVE, LIST = (f"{RESERVED}{verb}-key" for verb in ("install", "use", "remove", "list"))
_FINGERPRINT_BYTES = 16


def fingerprint(key: bytes) -> str:
    """A name for a key that does not disclose it."""
    return hashlib.sha256(b"gossip key" + key).hexdigest()[:_FINGERPRINT_BYTES]


class KeyAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One member's answer: an error text (empty: done), and its keys by fingerprint, the primary first."""

    error: str = ""
    keys: tuple[str, ...] = ()


_decode_answer = msgspec.msgpack.Decoder(KeyAnswer).decode


class Keys:
    """Answers the reserved queries."""

    def __init__(self, context: Context, querying: Querying) -> None:
        self.context = context
        self.querying = querying
        querying.reserved = self.hear

    def hear(self, handle: int, query: Query, sealed: bool) -> None:
        """Carry out a step, then have it saved, then confirm."""
        envelope = self.context.envelope
        ring = envelope.keyring
        if query.name not in (INSTALL, USE, REMOVE, LIST):
            self._confirm(handle, f"unknown query {query.name!r}")
            return
        if not ring or not sealed or not envelope.seals:
            self._confirm(handle, "keys are handled only where all traffic is encrypted")
            return
        try:
            if query.name == INSTALL:
                ring.install(query.payload)
            elif query.name == USE:
                ring.use(query.payload)
            elif query.name == REMOVE:
                ring.remove(query.payload)
        except KeyringError as error:
            self._confirm(handle, str(error))
            return
        if query.name == LIST:
            self._confirm(handle, "")
        else:
            self.context.notice("keys", self.context.name, f"{query.name} asked by {query.source}")
            self.context.actions.append(SaveKeys(handle, ring.keys))

    def saved(self, handle: int, error: str) -> None:
        """The shell kept the keys, or could not."""
        self._confirm(handle, error)

    def _confirm(self, handle: int, error: str) -> None:
        keys = tuple(fingerprint(key) for key in self.context.envelope.keyring.keys)
        self.querying.answer(handle, msgspec.msgpack.encode(KeyAnswer(error=error[:200], keys=keys)))

    def absent(self) -> dict[str, str]:
        """Members that cannot confirm anything now, with the reason: a rotation must wait for them."""
        return {
            record.name: "failed; it would be locked out"
            for record in self.context.table.records.values()
            if record.state is State.DEAD
        }


def judge(result: QueryResult) -> tuple[dict[str, KeyAnswer], dict[str, str]]:
    """The confirmations by name, and why others are missing."""
    answers: dict[str, KeyAnswer] = {}
    missing: dict[str, str] = {}
    replies = {reply.name: reply.payload for reply in result.replies}
    for name in result.asked:
        payload = replies.get(name)
        if payload is None:
            missing[name] = "no answer"
            continue
        try:
            answer = _decode_answer(payload)
        except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
            missing[name] = "an answer that is not understood"
            continue
        answers[name] = answer
        if answer.error:
            missing[name] = answer.error
    return answers, missing
