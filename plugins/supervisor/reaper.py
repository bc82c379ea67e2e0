"""The agent's part in collecting exit statuses after the supervisor was killed.

Theory: the agent is a child subreaper too. When its supervisor dies, the tasks become the agent's children;
the new supervisor can watch them but not reap them. So the agent reaps them, keeps each status until the
supervisor has taken it, and also reaps what else came with them: processes in the sessions of such tasks or
in our cgroups. It never touches other children of the agent's process (engine helpers, worker pools), which
have owners of their own.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from plugins.supervisor.kernel import become_subreaper, open_process, read_stat

_is_subreaper = False


def ensure_subreaper() -> None:
    """Make this process a child subreaper, once."""
    global _is_subreaper
    if not _is_subreaper:
        become_subreaper()
        _is_subreaper = True


class Reaper:
    """Watches tasks that have become children of this process. Lives on one loop."""

    def __init__(self, cgroup_parent: str, on_exit: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._cgroup_parent = cgroup_parent
        self._on_exit = on_exit
        self._watched: dict[int, tuple[str, int, int]] = {}
        self._followers: dict[int, int] = {}
        #: task id -> what to report, until the supervisor has it.
        self.collected: dict[str, dict[str, Any]] = {}

    def take(self, task_id: str, pid: int, start: int) -> None:
        """Watch a task if it is our child now; does nothing otherwise."""
        stat = read_stat(pid)
        if stat is None or stat.start != start or stat.ppid != os.getpid():
            return
        if any(entry == (task_id, pid, start) for entry in self._watched.values()):
            return
        pidfd = open_process(pid, start)
        if pidfd is None:
            return
        self._watched[pidfd] = (task_id, pid, start)
        self._loop.add_reader(pidfd, self._on_ready, pidfd)

    def _on_ready(self, pidfd: int) -> None:
        try:
            result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            result = None
        if result is None:
            status = None
        else:
            status = {"code": result.si_code, "status": result.si_status}
        task_id, pid, start = self._drop(pidfd)
        if status is not None:
            self.collected[task_id] = {"id": task_id, "pid": pid, "start": start, **status}
            self._on_exit()

    def _drop(self, pidfd: int) -> tuple[str, int, int]:
        self._loop.remove_reader(pidfd)
        os.close(pidfd)
        return self._watched.pop(pidfd)

    def sweep(self) -> None:
        """Reap dead followers of such tasks; call it now and then. Cost: reads /proc of our own children."""
        mains = {pid for _, pid, _ in self._watched.values()}
        if not mains and not self._followers:
            return
        living: dict[int, int] = {}
        for pid in _children():
            stat = read_stat(pid)
            if stat is None or pid in mains:
                continue
            is_ours = (
                self._followers.get(pid) == stat.start
                or stat.session in mains
                or stat.pgrp in mains
                or self._is_in_cgroup(pid)
            )
            if not is_ours:
                continue
            living[pid] = stat.start
            if stat.state == "Z":
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    pass  # somebody was faster
                del living[pid]
        self._followers = living

    def _is_in_cgroup(self, pid: int) -> bool:
        try:
            return f"/{self._cgroup_parent}/" in Path(f"/proc/{pid}/cgroup").read_text()
        except OSError:
            return False

    def close(self) -> None:
        """Stop watching."""
        for pidfd in list(self._watched):
            self._drop(pidfd)


def _children() -> list[int]:
    """Return the pids of this process's children, over all of its threads."""
    found: list[int] = []
    for thread in os.listdir("/proc/self/task"):
        try:
            found += [int(word) for word in Path(f"/proc/self/task/{thread}/children").read_text().split()]
        except OSError:
            continue
    return found
