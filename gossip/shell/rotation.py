"""The keyring as users see it: steps that count only when every member confirmed, and a whole rotation.

Source: core/keys.py has the theory.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gossip.core.keys import INSTALL, LIST, REMOVE, USE, KeyAnswer, Keys, fingerprint, judge
from gossip.errors import KeyringError, RotationIncomplete
from gossip.model import QueryResult

Ask = Callable[[str, bytes], Awaitable[QueryResult]]


class KeyringControl:
    """Rotates the cluster's keys. Keys are named by fingerprint and never shown."""

    def __init__(self, keys: Keys, ask: Ask) -> None:
        self._keys = keys
        self._ask = ask

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """This member's keys, the primary first."""
        return tuple(fingerprint(key) for key in self._keys.context.envelope.keyring.keys)

    async def list(self) -> dict[str, tuple[str, ...]]:
        """Every member's keys by fingerprint, the primary first. Raises: RotationIncomplete if one is silent."""
        answers, missing = judge(await self._ask(LIST, b""))
        if missing:
            raise RotationIncomplete("list", missing)
        return {name: answer.keys for name, answer in answers.items()}

    async def install(self, key: bytes) -> int:
        """Give every member a key; returns how many have it. Raises: RotationIncomplete, KeyringError."""
        if len(key) not in (16, 24, 32):
            raise KeyringError(f"a key has 16, 24 or 32 bytes, not {len(key)}")
        return len(await self._step("install", INSTALL, key))

    async def use(self, key: bytes) -> int:
        """Make every member encrypt with a key that all have. Raises: RotationIncomplete."""
        return len(await self._step("use", USE, key))

    async def remove(self, key: bytes) -> int:
        """Take a key away that nobody encrypts with. Raises: RotationIncomplete."""
        wanted = fingerprint(key)
        using = {
            name: "still encrypts with it"
            for name, keys in (await self.list()).items()
            if keys[:1] == (wanted,)
        }
        if using:
            raise RotationIncomplete("remove", using)
        return len(await self._step("remove", REMOVE, key))

    async def rotate(self, key: bytes) -> int:
        """Install a new key, use it, and remove all others; stops at the first step that is not complete.

        Run it again with the same key after the cause is gone. Raises: RotationIncomplete, KeyringError.
        """
        await self.install(key)
        await self.use(key)
        count = 0
        for old in [old for old in self._keys.context.envelope.keyring.keys if old != key]:
            count = await self.remove(old)
        return count

    async def _step(self, step: str, query: str, key: bytes) -> dict[str, KeyAnswer]:
        absent = self._keys.absent()
        if absent:
            raise RotationIncomplete(step, absent)
        answers, missing = judge(await self._ask(query, key))
        if missing:
            raise RotationIncomplete(step, missing)
        return answers
