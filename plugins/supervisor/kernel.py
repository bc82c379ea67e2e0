"""Small questions to the kernel that the standard library does not ask: process identity and subreaper.

Theory: a pid alone names nobody, since the kernel reuses it. (pid, start time in ticks, boot id) names
exactly one process; a pidfd keeps that name while it is open. So we open the pidfd first, compare the start
time after, and send signals through the pidfd only.

Not here: waiting and reaping (server and client do that).
Source: proc(5), prctl(2), pidfd_open(2).
"""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class Stat:
    """The fields of /proc/PID/stat that matter here."""

    __slots__ = ("pgrp", "pid", "ppid", "session", "start", "state")

    def __init__(self, pid: int, state: str, ppid: int, pgrp: int, session: int, start: int) -> None:
        self.pid = pid
        self.state = state
        self.ppid = ppid
        self.pgrp = pgrp
        self.session = session
        self.start = start


def read_stat(pid: int) -> Stat | None:
    """Read /proc/PID/stat. None: there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    # the command name may hold spaces and brackets, so count from the last bracket
    rest = text[text.rindex(b")") + 2 :].split()
    return Stat(pid, rest[0].decode(), int(rest[1]), int(rest[2]), int(rest[3]), int(rest[19]))


def all_stats() -> list[Stat]:
    """Read every process of this pid namespace. Cost: one open and read per process."""
    stats = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            stat = read_stat(int(name))
            if stat is not None:
                stats.append(stat)
    return stats


def boot_id() -> str:
    """Return the id of this boot, which makes (pid, start time) unique over reboots."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def open_process(pid: int, start: int) -> int | None:
    """Return a pidfd of exactly the process (pid, start), or None when that one is gone and reaped."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return None
    stat = read_stat(pid)
    if stat is None or stat.start != start:
        os.close(fd)
        return None
    return fd


def send_signal(pidfd: int, number: int) -> bool:
    """Send a signal through a pidfd. False: the process has ended."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    return True


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"prctl({option}, {value}): {os.strerror(errno)}")


def become_subreaper() -> None:
    """Make this process the parent of every orphan below it."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Ask for SIGKILL when the parent ends. Call it after a change of user, which clears it."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
