"""Use of resources: of tasks through their drivers, of the machine through psutil."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path

from daemon.model.errors import EncampError
from daemon.node.runner.alloc_runner import AllocRunner
from daemon.node.runner.records import Phase
from daemon.rpc.messages import HostStatsResponse, TaskUsage
from plugins.driver import DriverError

log = logging.getLogger("encamp.node")


async def task_usage(runner: AllocRunner, core_mhz: int) -> dict[str, TaskUsage]:
    """Use of each running task; one whose driver cannot say is left out."""
    found: dict[str, TaskUsage] = {}
    for name, core in runner.core.tasks.items():
        if core.record.phase != Phase.RUNNING:
            continue
        try:
            hand, id_ = runner.running(name)
            stats = await hand.driver().stats(id_)
        except (DriverError, EncampError, TimeoutError) as error:
            log.debug("no statistics of task %s of allocation %s: %s", name, runner.alloc_id, error)
            continue
        found[name] = TaskUsage(
            cpu_percent=stats.cpu_percent,
            cpu_mhz=stats.cpu_percent / 100 * core_mhz,
            memory_rss_bytes=stats.memory_rss_bytes,
            memory_cache_bytes=stats.memory_cache_bytes,
            memory_max_usage_bytes=stats.memory_max_usage_bytes,
            pids=stats.pids,
            timestamp_ns=stats.timestamp_ns,
        )
    return found


async def host_usage(data_dir: Path) -> HostStatsResponse:
    """Use of the machine now."""
    return await asyncio.to_thread(_host_usage, data_dir)


def _host_usage(data_dir: Path) -> HostStatsResponse:
    import psutil

    memory = psutil.virtual_memory()
    disk = os.statvfs(data_dir)
    total = disk.f_blocks * disk.f_frsize
    return HostStatsResponse(
        cpu_percent=psutil.cpu_percent(interval=0.1),
        memory_total_bytes=memory.total,
        memory_used_bytes=memory.used,
        memory_available_bytes=memory.available,
        disk_total_bytes=total,
        disk_used_bytes=total - disk.f_bfree * disk.f_frsize,
        inodes_used_percent=100 * (1 - disk.f_ffree / disk.f_files) if disk.f_files else 0.0,
        uptime_s=time.time() - psutil.boot_time(),
        timestamp_ns=time.time_ns(),
    )
