"""Kill everything that a task has started, and say when nothing is left.

Theory: with a cgroup the members are exact. Without one, a member is what descends from the task's process,
shares its session or process group, or carries the marker that the task's environment was given. The main
process is left a zombie until this is done, so its number (and with it session and group) cannot be reused
meanwhile, and every signal goes through a pidfd whose start time was compared.

A program that leaves the tree, makes its own session and clears its environment escapes the second way; the
drivers say in their fingerprint when only that one is there.
"""

from __future__ import annotations

import os
import signal

from plugins.cgroups import group
from plugins.supervisor.kernel import Stat, all_stats, open_process, send_signal
from plugins.supervisor.loop import Loop, log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from plugins.cgroups.layout import Layout

#: environment variable that marks processes of a task where there is no cgroup; its value is the task's
#: directory in the supervisor's, so that no two supervisors ever mean the same.
MARKER = "ENCAMP_TASK"
_FIRST_DELAY_S = 0.002
_LAST_DELAY_S = 0.2
#: rounds after which a process that does not die (stuck in the kernel) is written to the log.
_COMPLAIN_ROUNDS = 60


def has_marker(pid: int, marker: str) -> bool:
    """Say whether a process carries this marker in its environment."""
    if not marker:
        return False
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return f"{MARKER}={marker}".encode() in file.read().split(b"\0")
    except OSError:
        return False


def find_members(main_pid: int, marker: str, start: int) -> list[Stat]:
    """Return the living processes of a task that has no cgroup. Cost: reads all of /proc.

    `main_pid` is 0 when nobody holds the main process any more: its number may be another's by now, so only
    the marker counts.
    """
    stats = [stat for stat in all_stats() if stat.start >= start]
    members = {main_pid} if main_pid else set()
    for stat in stats:
        if (main_pid and main_pid in (stat.session, stat.pgrp)) or has_marker(stat.pid, marker):
            members.add(stat.pid)
    grew = True
    while grew:
        found = {stat.pid for stat in stats if stat.ppid in members} - members
        members |= found
        grew = bool(found)
    return [stat for stat in stats if stat.pid in members and stat.state not in "ZX"]


class Killer:
    """Repeats SIGKILL until a task has no process, then calls back once."""

    def __init__(
        self,
        loop: Loop,
        label: str,
        layout: Layout | None,
        main: tuple[int, int],
        marker: str,
        on_done: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._label = label
        self._layout = layout
        self._main = main
        self._marker = marker
        self._on_done = on_done
        self._delay_s = _FIRST_DELAY_S
        self._rounds = 0

    def turn(self) -> None:
        """Do one round now and plan the next."""
        if self._round():
            self._on_done()
            return
        self._rounds += 1
        if self._rounds == _COMPLAIN_ROUNDS:
            log(f"{self._label}: processes do not end after SIGKILL; still trying")
        self._loop.later(self._delay_s, self.turn)
        self._delay_s = min(_LAST_DELAY_S, self._delay_s * 2)

    def _round(self) -> bool:
        if self._layout is not None:
            return group.kill(self._layout)
        pid, start = self._main
        members = find_members(pid, self._marker, start)
        for stat in members:
            fd = open_process(stat.pid, stat.start)
            if fd is not None:
                send_signal(fd, signal.SIGKILL)
                os.close(fd)
        return not members
