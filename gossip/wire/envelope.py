"""What goes around messages: label and encryption, for packets and for stream frames. Pure.

Theory: packet = [label header] + (clear data | ENCRYPT byte + sealed data); the label is authenticated with it.
Frame = [label header] + type byte + u32 length + body; type, length and label are authenticated, so none can be
changed. A packet with another label, in clear where encryption is asked for, or under no known key is refused.
Nonces come from `entropy`, which a simulation makes from its seed.
Source: memberlist's security notes; a label binds a packet to one cluster.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from gossip import limits
from gossip.errors import DecodeError
from gossip.wire.compress import compress, decompress
from gossip.wire.keyring import NONCE_BYTES, TAG_BYTES, Keyring
from gossip.wire.messages import Kind

PLAIN_FRAME = 0x20
"""Type byte of a frame in clear; a sealed one has Kind.ENCRYPT."""
FRAME_HEAD_BYTES = 5
_HEAD = struct.Struct(">BI")
_SEALED = bytes([Kind.ENCRYPT])


class Envelope:
    """Wraps and unwraps; owns the keyring and the label of one member."""

    def __init__(
        self,
        label: str,
        keyring: Keyring,
        entropy: Callable[[int], bytes],
        *,
        verify_incoming: bool = True,
        verify_outgoing: bool = True,
    ) -> None:
        self.keyring = keyring
        self._label = label.encode()
        self.head = bytes([Kind.LABEL, len(self._label)]) + self._label if label else b""
        self._entropy = entropy
        self._verify_incoming = verify_incoming
        self._verify_outgoing = verify_outgoing

    @property
    def seals(self) -> bool:
        """Whether what is sent gets encrypted."""
        return bool(self.keyring) and self._verify_outgoing

    @property
    def budget_bytes(self) -> int:
        """Bytes that messages may take in one packet."""
        sealed = 1 + NONCE_BYTES + TAG_BYTES if self.seals else 0
        return limits.PACKET_BYTES_MAX - len(self.head) - sealed

    def wrap(self, data: bytes) -> bytes:
        """A packet."""
        if not self.seals:
            return self.head + data
        return self.head + _SEALED + self.keyring.seal(data, self._entropy(NONCE_BYTES), self._label)

    def unwrap(self, packet: bytes) -> tuple[bytes, bool]:
        """The messages in a packet, and whether it was encrypted. Raises: DecodeError."""
        if len(packet) > limits.PACKET_BYTES_MAX:
            raise DecodeError("too_large", "packet")
        data = self._strip(packet)
        if not data:
            raise DecodeError("empty")
        if data[0] == Kind.ENCRYPT:
            if not self.keyring:
                raise DecodeError("no_key", "encrypted, and this member has no key")
            return self.keyring.open(data[1:], self._label), True
        if self.keyring and self._verify_incoming:
            raise DecodeError("clear", "packet in clear")
        return data, False

    def _strip(self, data: bytes) -> bytes:
        if self.head:
            if not data.startswith(self.head):
                raise DecodeError("label", "another label")
            return data[len(self.head) :]
        if data[:1] == bytes([Kind.LABEL]):
            raise DecodeError("label", "a label where none is expected")
        return data

    def wrap_frame(self, data: bytes, *, packed: bool = False) -> bytes:
        """A stream frame, compressed first if asked. Raises: DecodeError when it is above the limit."""
        if packed:
            data = compress(data)
        sealed = self.seals
        length = len(data) + (NONCE_BYTES + TAG_BYTES if sealed else 0)
        if length > limits.STREAM_BYTES_MAX:
            raise DecodeError("too_large", "frame to send")
        head = _HEAD.pack(Kind.ENCRYPT if sealed else PLAIN_FRAME, length)
        if sealed:
            data = self.keyring.seal(data, self._entropy(NONCE_BYTES), head + self._label)
        return self.head + head + data

    def unwrap_frame(self, frame: bytes) -> tuple[bytes, bool]:
        """The message in a whole frame, and whether it was encrypted. Raises: DecodeError."""
        data = self._strip(frame)
        if len(data) < FRAME_HEAD_BYTES:
            raise DecodeError("malformed", "frame is cut")
        kind, length = _HEAD.unpack_from(data)
        body = data[FRAME_HEAD_BYTES:]
        if length != len(body) or length > limits.STREAM_BYTES_MAX:
            raise DecodeError("malformed", "frame length")
        if kind == Kind.ENCRYPT:
            if not self.keyring:
                raise DecodeError("no_key", "encrypted, and this member has no key")
            plain = self.keyring.open(body, data[:FRAME_HEAD_BYTES] + self._label)
            return decompress(plain), True
        if kind != PLAIN_FRAME:
            raise DecodeError("unknown_type", f"frame {kind}")
        if self.keyring and self._verify_incoming:
            raise DecodeError("clear", "frame in clear")
        return decompress(body), False
