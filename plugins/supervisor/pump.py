"""Move one output stream of a task from its FIFO into its rotated log.

Theory: a byte is in the pipe or in the file, never in this process (see logs.rotate). Whatever stops the
flow, a rate limit, a full disk, this process being frozen or dead, leaves the bytes in the pipe; once
PIPE_BYTES are unread, the writer blocks. That is the documented bound. The task holds its FIFO for reading
and writing, so it is never hit by SIGPIPE and its pipe lives as long as it does.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

from plugins.logs.limit import Bucket
from plugins.logs.rotate import NullFile, RotatingFile
from plugins.supervisor.loop import Loop, Timer, log
from plugins.supervisor.protocol import PIPE_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: how much one stream may move before others get their turn.
_TURN_BYTES = 1024 * 1024
#: how long to wait after the disk refused a write.
_RETRY_S = 1.0


def enlarge(fd: int) -> None:
    """Enlarge a pipe as far as the kernel allows this user; a smaller one only blocks the writer earlier."""
    size = PIPE_BYTES
    while size > 65536:
        try:
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, size)
            return
        except OSError:
            size //= 2


def open_log(logs: dict[str, Any], stream: str) -> RotatingFile | NullFile:
    """Open the log of a stream. Raises: OSError."""
    if not logs or logs.get("disabled"):
        return NullFile()
    return RotatingFile(
        logs["dir"],
        f"{logs['name']}.{stream}",
        files_max=logs["files_max"],
        file_max_bytes=logs["file_max_bytes"],
    )


class Pump:
    """One FIFO and its log. Closed at end of file or by `close`."""

    def __init__(
        self,
        loop: Loop,
        fd: int,
        sink: RotatingFile | NullFile,
        bucket: Bucket,
        label: str,
        on_end: Callable[[], None],
    ) -> None:
        self._loop = loop
        self.fd = fd
        self._sink = sink
        self._bucket = bucket
        self._label = label
        self._on_end = on_end
        self._retry: Timer | None = None
        self._failing = False
        loop.watch(fd, self.turn)

    @property
    def is_open(self) -> bool:
        """True until everything was moved and all writers have gone."""
        return self.fd >= 0

    def turn(self) -> None:
        """Move what may move now."""
        if self.fd < 0:
            return
        left = _TURN_BYTES
        while left > 0:
            allowed = self._bucket.allowed(left, time.monotonic())
            if allowed == 0:
                self._pause(self._bucket.delay_s())
                return
            try:
                count = self._sink.splice_from(self.fd, allowed)
            except BlockingIOError:
                return
            except OSError as error:
                self._failed(error)
                return
            if count == 0:
                self.close()
                self._on_end()
                return
            self._failing = False
            self._bucket.took(count)
            left -= count

    def _failed(self, error: OSError) -> None:
        if not self._failing:
            log(
                f"{self._label}: cannot write the log ({error}); the task waits, retrying every {_RETRY_S:g} s"
            )
            self._failing = True
        if error.errno in (errno.ENOENT, errno.EBADF):
            # its directory was removed: nobody can read this log any more, and the task must not hang on it
            self._sink.close()
            self._sink = NullFile()
        self._pause(_RETRY_S)

    def _pause(self, delay_s: float) -> None:
        self._loop.unwatch(self.fd)
        self._retry = self._loop.later(delay_s, self._resume)

    def _resume(self) -> None:
        self._retry = None
        if self.fd >= 0:
            self._loop.watch(self.fd, self.turn)
            self.turn()

    def drain(self) -> bool:
        """Move everything that is in the pipe, without limit; for a task that has ended.

        False: the disk refused.
        """
        self._bucket.lift()
        while self.fd >= 0:
            try:
                if self._sink.splice_from(self.fd, _TURN_BYTES) == 0:
                    return True
            except BlockingIOError:
                return True
            except OSError as error:
                log(f"{self._label}: the last output could not be written ({error})")
                return False
        return True

    def close(self) -> None:
        """Let go of the pipe and the log. Idempotent."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self.fd >= 0:
            self._loop.unwatch(self.fd)
            os.close(self.fd)
            self.fd = -1
            self._sink.close()
