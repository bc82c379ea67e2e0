"""The agent's part in collecting exit statuses after the supervisor was killed.

Theory: the agent is a child subreaper too. When its supervisor dies, the tasks become the agent's children;
the new supervisor can watch them but not reap them. So the agent reaps them, keeps each status until the
supervisor has taken it, and also reaps what else came with them: processes in the sessions of such tasks or
in our cgroups. It never touches other children of the agent's process (engine helpers, worker pools), which
have owners of their own.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from plugins.supervisor.kernel import become_subreaper, open_process, read_stat

_is_subreaper = False
#: how long after the end of an adopted task its followers are looked for.
_FOLLOW_S = 60.0
#: so many sweeps a zombie must have been left alone before it counts as nobody's.
_STALE_SWEEPS = 3


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
        #: main pid of an adopted task -> when to stop caring for its followers (monotonic; inf while it runs).
        self._until_s: dict[int, float] = {}
        #: pid -> start time of living followers, found while they could still be told apart.
        self._followers: dict[int, int] = {}
        #: (pid, start time) of zombies that nobody reaps -> in how many sweeps they were seen.
        self._stale: dict[tuple[int, int], int] = {}
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
        self._until_s[pid] = math.inf
        self.sweep()

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
        entry = self._watched.pop(pidfd)
        self._until_s[entry[1]] = time.monotonic() + _FOLLOW_S
        return entry

    def sweep(self) -> None:
        """Reap dead followers of adopted tasks; call it every second. Cost: reads /proc of our own children.

        A follower is told by its session, process group or cgroup, but a zombie in a session of its own shows none
        of these. It is ours when it was seen alive before, or when it is in another session than this process's own
        children and nobody has reaped it for several sweeps.
        """
        now_s = time.monotonic()
        self._until_s = {pid: until_s for pid, until_s in self._until_s.items() if until_s > now_s}
        if not self._until_s:
            self._followers.clear()
            self._stale.clear()
            return
        mains = {pid for _, pid, _ in self._watched.values()}
        living: dict[int, int] = {}
        stale: dict[tuple[int, int], int] = {}
        for pid in _children():
            stat = read_stat(pid)
            if stat is None or pid in mains:
                continue
            is_ours = (
                self._followers.get(pid) == stat.start
                or stat.session in self._until_s
                or stat.pgrp in self._until_s
                or self._is_in_cgroup(pid)
            )
            if stat.state != "Z":
                if is_ours:
                    living[pid] = stat.start
                continue
            seen = self._stale.get((pid, stat.start), 0) + 1
            if is_ours or (stat.session != os.getsid(0) and seen >= _STALE_SWEEPS):
                _reap(pid)
            else:
                stale[pid, stat.start] = seen
        self._followers, self._stale = living, stale

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


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass  # somebody was faster
