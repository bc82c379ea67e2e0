"""Counters of one task's groups, for its statistics.

Source: the kernel's cgroup-v1/memory, cgroup-v1/cpuacct and admin-guide/cgroup-v2.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from plugins.cgroups.layout import Layout


class Usage:
    """Use of resources at one instant; zero where the kernel does not say."""

    __slots__ = ("cpu_ns", "memory_cache_bytes", "memory_max_bytes", "memory_rss_bytes", "pids")

    def __init__(self) -> None:
        self.cpu_ns = 0
        self.memory_rss_bytes = 0
        self.memory_cache_bytes = 0
        self.memory_max_bytes = 0
        self.pids = 0


def _table(path: str) -> dict[str, int]:
    """Read `key value` lines, or one bare number under the empty key. A missing file is an empty table."""
    table: dict[str, int] = {}
    try:
        with open(path, encoding="ascii") as file:
            for line in file:
                words = line.split()
                if len(words) == 1 and words[0].isdigit():
                    table[""] = int(words[0])
                elif len(words) == 2 and words[1].isdigit():
                    table[words[0]] = int(words[1])
    except OSError:
        return {}
    return table


def read_usage(layout: Layout) -> Usage | None:
    """Return the counters. None: the groups are gone."""
    usage = Usage()
    seen = False
    for path in layout["dirs"]:
        procs = f"{path}/cgroup.procs"
        try:
            with open(procs, encoding="ascii") as file:
                count = len(file.read().split())
        except OSError:
            continue
        seen = True
        usage.pids = max(usage.pids, count, _table(f"{path}/pids.current").get("", 0))
        if layout["version"] == 1:
            _add_v1(path, usage)
        else:
            _add_v2(path, usage)
    return usage if seen else None


def _add_v1(path: str, usage: Usage) -> None:
    usage.cpu_ns = max(usage.cpu_ns, _table(f"{path}/cpuacct.usage").get("", 0))
    memory = _table(f"{path}/memory.stat")
    if memory:
        usage.memory_rss_bytes = memory.get("total_rss", memory.get("rss", 0))
        usage.memory_cache_bytes = memory.get("total_cache", memory.get("cache", 0))
        usage.memory_max_bytes = _table(f"{path}/memory.max_usage_in_bytes").get("", 0)


def _add_v2(path: str, usage: Usage) -> None:
    usage.cpu_ns = _table(f"{path}/cpu.stat").get("usage_usec", 0) * 1000
    memory = _table(f"{path}/memory.stat")
    usage.memory_rss_bytes = memory.get("anon", 0)
    usage.memory_cache_bytes = memory.get("file", 0)
    usage.memory_max_bytes = _table(f"{path}/memory.peak").get("", 0)
