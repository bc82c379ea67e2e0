"""Use of resources of supervised tasks, from their cgroup, or from /proc where there is none."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from plugins.cgroups.usage import Usage, read_usage
from plugins.driver import TaskStats
from plugins.supervisor.kill import find_members

if TYPE_CHECKING:
    from plugins.cgroups.layout import Layout

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Meter:
    """Turns counters of one task into statistics; the percentage is over the time since the last look."""

    def __init__(self) -> None:
        self._last: tuple[int, int] | None = None

    def look(self, cgroup: dict[str, Any] | None, pid: int, marker: str, start: int) -> TaskStats | None:
        """Read the counters now. None: nothing of the task is left. Cost: a few files, or all of /proc."""
        usage = read_usage(cast("Layout", cgroup)) if cgroup else _from_proc(pid, marker, start)
        if usage is None:
            return None
        now_ns = time.time_ns()
        percent = 0.0
        if self._last is not None and now_ns > self._last[0]:
            percent = 100.0 * max(0, usage.cpu_ns - self._last[1]) / (now_ns - self._last[0])
        self._last = (now_ns, usage.cpu_ns)
        return TaskStats(
            timestamp_ns=now_ns,
            cpu_total_ns=usage.cpu_ns,
            cpu_percent=percent,
            memory_rss_bytes=usage.memory_rss_bytes,
            memory_cache_bytes=usage.memory_cache_bytes,
            memory_max_usage_bytes=usage.memory_max_bytes,
            pids=usage.pids,
        )


def _from_proc(pid: int, marker: str, start: int) -> Usage | None:
    members = find_members(pid, marker, start)
    if not members:
        return None
    usage = Usage()
    for stat in members:
        try:
            words = Path(f"/proc/{stat.pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        # utime, stime and, of reaped children, cutime and cstime
        usage.cpu_ns += sum(int(word) for word in words[11:15]) * 1_000_000_000 // _TICKS
        usage.memory_rss_bytes += int(words[21]) * _PAGE_BYTES
        usage.pids += 1
    return usage
