"""The keys of a cluster: the first encrypts, every one decrypts. Pure; nonces come in as an argument.

Theory: AES-GCM with a random 96-bit nonce; data that authenticates under any key of the ring is accepted. A rotation
installs the new key everywhere, then uses it everywhere, then removes the old one, each step only when all members
confirmed the step before. The key is a shared secret without identities: whoever holds it can speak for anybody, so
nothing privileged may follow from gossip alone. Rotate before 2^32 messages under one key.
Source: memberlist's keyring; NIST SP 800-38D for the bound.
"""

from __future__ import annotations

import base64
import json

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gossip.errors import DecodeError, KeyringError

NONCE_BYTES = 12
TAG_BYTES = 16
KEYS_MAX = 16
"""Keys in a ring: each failed packet is tried against all of them."""


class Keyring:
    """An ordered list of keys; never empty once it had a key."""

    def __init__(self, keys: tuple[bytes, ...] = ()) -> None:
        self._keys: list[bytes] = []
        self._ciphers: list[AESGCM] = []
        self.opened_by: list[int] = []
        """How many messages each key has opened, in ring order: shows whether an old key is still in use."""
        for key in keys:
            self.install(key)

    def __bool__(self) -> bool:
        return bool(self._keys)

    @property
    def keys(self) -> tuple[bytes, ...]:
        """All keys, the primary first."""
        return tuple(self._keys)

    def install(self, key: bytes) -> None:
        """Add a key, last; a known one changes nothing. Raises: KeyringError."""
        if len(key) not in (16, 24, 32):
            raise KeyringError(f"a key has 16, 24 or 32 bytes, not {len(key)}")
        if key in self._keys:
            return
        if len(self._keys) >= KEYS_MAX:
            raise KeyringError(f"the ring has {KEYS_MAX} keys already; remove one first")
        self._keys.append(key)
        self._ciphers.append(AESGCM(key))
        self.opened_by.append(0)

    def use(self, key: bytes) -> None:
        """Make a key the primary. Raises: KeyringError when it is not installed."""
        index = self._index(key)
        self._keys.insert(0, self._keys.pop(index))
        self._ciphers.insert(0, self._ciphers.pop(index))
        self.opened_by.insert(0, self.opened_by.pop(index))

    def remove(self, key: bytes) -> None:
        """Drop a key; an unknown one changes nothing. Raises: KeyringError for the primary."""
        if key not in self._keys:
            return
        index = self._index(key)
        if index == 0:
            raise KeyringError("the primary key cannot be removed; use another one first")
        del self._keys[index], self._ciphers[index], self.opened_by[index]

    def _index(self, key: bytes) -> int:
        try:
            return self._keys.index(key)
        except ValueError:
            raise KeyringError("the key is not installed") from None

    def seal(self, data: bytes, nonce: bytes, aad: bytes) -> bytes:
        """Nonce, ciphertext and tag."""
        return nonce + self._ciphers[0].encrypt(nonce, data, aad)

    def open(self, sealed: bytes, aad: bytes) -> bytes:
        """The plain data. Raises: DecodeError when no key fits or a byte was changed."""
        if len(sealed) < NONCE_BYTES + TAG_BYTES:
            raise DecodeError("malformed", "sealed data is cut")
        nonce, body = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        for index, cipher in enumerate(self._ciphers):
            try:
                plain = cipher.decrypt(nonce, body, aad)
            except InvalidTag:
                continue
            self.opened_by[index] += 1
            return plain
        raise DecodeError("no_key", "no key of the ring fits")


def keys_to_json(keys: tuple[bytes, ...]) -> bytes:
    """The ring as a file keeps it: a list of base64 texts, the primary first."""
    return (json.dumps([base64.b64encode(key).decode() for key in keys], indent=1) + "\n").encode()


def keys_from_json(data: bytes) -> tuple[bytes, ...]:
    """Undo `keys_to_json`. Raises: KeyringError."""
    try:
        keys = tuple(base64.b64decode(text, validate=True) for text in json.loads(data))
        Keyring(keys)
    except (ValueError, TypeError) as error:
        raise KeyringError("a keyring file is a JSON list of base64 keys") from error
    if not keys:
        raise KeyringError("a keyring file has at least one key")
    return keys
