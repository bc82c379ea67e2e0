"""Messages between supervisor and client: one JSON object per SEQPACKET message.

Theory: message boundaries come from the socket, so there is no framing to get wrong. A body that is too large
for one message travels in a memfd beside a short message that says so. Requests carry `n`, answers repeat it;
events carry `event` and no `n`. Requests carry `deadline`, in CLOCK_MONOTONIC seconds of this machine: a
supervisor that was frozen drops what nobody waits for any more instead of acting late.

    request  {"n": 7, "op": "start", "deadline": 123.4, ...}       answer {"n": 7, "ok": {...}}
                                                                   or     {"n": 7, "error": KIND, "message":
                                                                   TEXT}
    event    {"event": "drained", "id": ID} - the spare pipe ends are needed no more
             {"event": "reap", "id": ID, "pid": N, "start": N, ...} - your child; reap it and say how it ended

Shape of an error KIND: `not-found`, `spawn`, `launch`, `busy`, `expired`, `bad-request`, `internal`.
"""

from __future__ import annotations

import json
import os
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: raised when a message changes its meaning; a client upgrades an older supervisor in place.
VERSION = 1
#: largest message sent on the socket itself; well under the default socket buffer of 208 KiB.
INLINE_MAX_BYTES = 48 * 1024
#: largest body taken at all: argv and env of a process end at 2 MiB in the kernel's default.
BODY_MAX_BYTES = 8 * 1024 * 1024
#: a page of `list`, so that an answer stays inline.
LIST_PAGE_COUNT = 100
#: most descriptors that one message may bring: stdin, stdout, stderr and a body.
FDS_MAX_COUNT = 4
#: asked-for size of every output FIFO; a writer blocks when so much is unread. The default is 64 KiB.
PIPE_BYTES = 1024 * 1024

SOCKET_NAME = "supervisor.sock"
LOCK_NAME = "supervisor.lock"
LOG_NAME = "supervisor.log"

UNKNOWN_EXIT = "exit status unknown: the process ended while neither supervisor nor agent was watching it"


class BadMessage(Exception):
    """A message that is not what this file says."""


def encode(message: dict[str, Any], fds: list[int] | None = None) -> tuple[bytes, list[int], int | None]:
    """Return (bytes to send, descriptors to send, memfd to close afterwards)."""
    data = json.dumps(message, separators=(",", ":")).encode()
    fds = list(fds or ())
    if len(data) <= INLINE_MAX_BYTES:
        return data, fds, None
    if len(data) > BODY_MAX_BYTES:
        raise BadMessage(f"message of {len(data)} bytes; at most {BODY_MAX_BYTES} are allowed")
    body = os.memfd_create("encamp-message", os.MFD_CLOEXEC)
    with open(body, "wb", closefd=False) as file:
        file.write(data)
    return json.dumps({"body": len(data)}).encode(), [*fds, body], body


def decode(data: bytes, fds: list[int]) -> tuple[dict[str, Any], list[int]]:
    """Return (message, descriptors that belong to the request). A body descriptor is read and closed.

    Raises: BadMessage; the caller closes the connection and all descriptors.
    """
    try:
        message = json.loads(data)
        if isinstance(message, dict) and isinstance(message.get("body"), int):
            if not fds or not 0 < message["body"] <= BODY_MAX_BYTES:
                raise BadMessage("a body was announced but did not come")
            body = fds.pop()
            try:
                message = json.loads(os.pread(body, message["body"], 0))
            finally:
                os.close(body)
    except ValueError as error:
        raise BadMessage(f"not JSON: {error}") from error
    if not isinstance(message, dict):
        raise BadMessage("not a JSON object")
    return message, fds


def receive(sock: socket.socket) -> tuple[bytes, list[int]] | None:
    """Read one message and its descriptors. None: the other side has closed.

    Raises: BlockingIOError when nothing is there; BadMessage when the message was cut off.
    """
    data, fds, flags, _ = socket.recv_fds(
        sock, INLINE_MAX_BYTES + 1024, FDS_MAX_COUNT, socket.MSG_CMSG_CLOEXEC
    )
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        for fd in fds:
            os.close(fd)
        raise BadMessage("message longer than the protocol allows")
    if not data:
        return None
    return data, list(fds)
