"""A command run beside a task for a client (`alloc exec`): no record, no log, the client's own descriptors.

Theory: it is in the task's cgroup, so it never outlives the task; it is tied to the supervisor by a
parent-death signal and to the client's connection by `cancel`. Its status goes to whoever asked.
"""

from __future__ import annotations

import os
import signal

from plugins.supervisor import spawn
from plugins.supervisor.kernel import open_process, read_stat, send_signal
from plugins.supervisor.kill import find_members
from plugins.supervisor.loop import Loop
from plugins.supervisor.task import StartError, exit_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Session:
    """One command. Calls back once: `on_end(exit status or None, error or None)`."""

    def __init__(
        self,
        loop: Loop,
        spec: dict[str, Any],
        fds: list[int],
        on_end: Callable[[dict[str, Any] | None, StartError | None], None],
    ) -> None:
        """Start the command; takes over and closes the descriptors. Raises: StartError."""
        self._loop = loop
        self._spec = spec
        self._on_end = on_end
        try:
            self._child = spawn.fork(spec, (fds[0], fds[1], fds[2]), tied=True)
        except OSError as error:
            raise StartError(
                "spawn", f"cannot start a process: {error}", errno=error.errno, stage="fork"
            ) from error
        finally:
            for fd in fds:
                os.close(fd)
        self.pid = self._child.pid
        stat = read_stat(self.pid)
        self._start = stat.start if stat else 0
        self._pidfd = os.pidfd_open(self.pid)
        self._error: StartError | None = None
        loop.watch(self._child.error_fd, self._on_exec)
        loop.watch(self._pidfd, self._on_exit)
        self._child.release()

    def _on_exec(self) -> None:
        if self._child.error_fd < 0:
            return
        self._loop.unwatch(self._child.error_fd)
        failure = self._child.result()
        if failure is not None:
            stage, number = failure
            self._error = StartError("spawn", os.strerror(number), errno=number, stage=stage)

    def _on_exit(self) -> None:
        result = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        if result is None:
            return
        self._on_exec()
        self._loop.unwatch(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        if self._error is not None:
            self._on_end(None, self._error)
        else:
            self._on_end(exit_of(result.si_code, result.si_status), None)

    def cancel(self) -> None:
        """Kill the command and what it has started in its session."""
        if self._pidfd < 0:
            return
        self._kill_inner()
        for stat in find_members(self.pid, "", self._start):
            fd = open_process(stat.pid, stat.start)
            if fd is not None:
                send_signal(fd, signal.SIGKILL)
                os.close(fd)

    def _kill_inner(self) -> None:
        """Kill the process that a runtime's `exec` made in the container; it is not below us."""
        path = self._spec.get("pid_file")
        if not path:
            return
        try:
            with open(path, encoding="ascii") as file:
                pid = int(file.read() or 0)
        except (OSError, ValueError):
            return
        stat = read_stat(pid)
        # the runtime wrote the file after we started it, so an older process is another one
        if stat is not None and stat.start >= self._start:
            fd = open_process(pid, stat.start)
            if fd is not None:
                send_signal(fd, signal.SIGKILL)
                os.close(fd)
