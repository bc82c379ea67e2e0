"""The supervisor's event loop: descriptors, timers and SIGCHLD; nothing else.

Theory: one thread, level-triggered. A callback never blocks, except on the disk it logs to. A callback that
raises is a defect of ours: it is written to the supervisor's log with what it was about, and the loop goes
on, because the tasks of a whole node hang on this process.
"""

from __future__ import annotations

import heapq
import os
import selectors
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def log(text: str) -> None:
    """Write one line to the supervisor's log (its standard error)."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    try:
        sys.stderr.write(f"{stamp} supervisor[{os.getpid()}] {text}\n")
        sys.stderr.flush()
    except OSError:
        pass  # a full disk must not stop the supervisor from reaping


class Timer:
    """A callback that is due once. `cancel` makes it never happen."""

    __slots__ = ("callback", "due_s")

    def __init__(self, due_s: float, callback: Callable[[], None]) -> None:
        self.due_s = due_s
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Forget the callback. Idempotent."""
        self.callback = None


class Loop:
    """Selector, timers and the self-pipe for signals."""

    def __init__(self) -> None:
        self._selector = selectors.EpollSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._count = 0
        self._running = True
        self._signals: dict[int, Callable[[], None]] = {}
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.watch(self._wake_read, self._on_wake)

    def on_signal(self, number: int, callback: Callable[[], None]) -> None:
        """Call back, on the loop, when a signal has come."""
        self._signals[number] = callback
        signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)

    def _on_wake(self) -> None:
        try:
            numbers = set(os.read(self._wake_read, 4096))
        except BlockingIOError:
            return
        for number in sorted(numbers):
            callback = self._signals.get(number)
            if callback is not None:
                callback()

    def watch(self, fd: int, on_read: Callable[[], None]) -> None:
        """Call back while a descriptor is readable or hung up."""
        self._selector.register(fd, selectors.EVENT_READ, on_read)

    def watch_write(self, fd: int, on_ready: Callable[[], None]) -> None:
        """Call back while a watched descriptor is readable or writable (the callback does both)."""
        self._selector.modify(fd, selectors.EVENT_READ | selectors.EVENT_WRITE, on_ready)

    def watch_read(self, fd: int, on_read: Callable[[], None]) -> None:
        """Go back from `watch_write` to reading only."""
        self._selector.modify(fd, selectors.EVENT_READ, on_read)

    def unwatch(self, fd: int) -> None:
        """Stop calling back. Idempotent; call it before closing the descriptor."""
        try:
            self._selector.unregister(fd)
        except (KeyError, ValueError):
            pass

    def later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Call back once after a delay."""
        timer = Timer(time.monotonic() + delay_s, callback)
        self._count += 1
        heapq.heappush(self._timers, (timer.due_s, self._count, timer))
        return timer

    def stop(self) -> None:
        """Leave `run` after the present turn."""
        self._running = False

    def run(self) -> None:
        """Serve until `stop`."""
        while self._running:
            for key, _ in self._selector.select(self._timeout_s()):
                # an earlier callback of this turn may have closed it
                if self._selector.get_map().get(key.fd) == key:
                    self._guard(key.data)
            now_s = time.monotonic()
            while self._timers and self._timers[0][0] <= now_s:
                timer = heapq.heappop(self._timers)[2]
                if timer.callback is not None:
                    callback, timer.callback = timer.callback, None
                    self._guard(callback)

    def _timeout_s(self) -> float | None:
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return None
        return max(0.0, self._timers[0][0] - time.monotonic())

    def _guard(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception as error:
            import traceback  # only when something is wrong: it costs a megabyte

            log(f"defect in {callback!r}: {error!r}\n{traceback.format_exc()}")
