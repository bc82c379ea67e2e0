"""Reads the engine's answers: how a container ended, what it uses, what is wrong with a start. Pure."""

from __future__ import annotations

import re
import signal
from typing import Any, Final

from plugins.docker_driver.stream import EngineDown, EngineError
from plugins.driver import DriverError, ExitResult, TaskStats

_PORT: Final = re.compile(r"(?:Bind for|listen tcp4?|listen udp4?|exposing port \w+) ([\d.:\[\]a-f]+:\d+)")
#: added to a signal's number in an exit code.
SIGNAL_CODES: Final = 128
#: words of the engine's refusals that a later attempt may not meet again.
_PASSING: Final = ("address already in use", "port is already allocated", "timeout", "no space left")


def exit_result(inspected: dict[str, Any]) -> ExitResult | None:
    """How the container ended; None while it runs."""
    state = inspected.get("State") or {}
    if state.get("Running") or state.get("Restarting") or state.get("Paused"):
        return None
    if state.get("Status") == "created":
        return ExitResult(error=f"the container was never started: {state.get('Error') or 'no reason known'}")
    code = int(state.get("ExitCode") or 0)
    return ExitResult(
        exit_code=code,
        # the engine tells death by a signal as a shell does
        signal=code - SIGNAL_CODES if SIGNAL_CODES < code <= SIGNAL_CODES + signal.SIGRTMAX else 0,
        # a child of a healthy main process may have been killed for memory: that is not the task's end
        oom_killed=bool(state.get("OOMKilled")) and code != 0,
        error=str(state.get("Error") or "") if code != 0 else "",
    )


def start_error(error: DriverError, image: str) -> DriverError:
    """A refusal of create or start in words that say what to do."""
    if isinstance(error, EngineDown) or not isinstance(error, EngineError):
        return error
    text = error.message
    low = text.lower()
    if "port is already allocated" in low or "address already in use" in low:
        found = _PORT.search(text)
        where = found[1] if found else "a port of this task"
        return DriverError(f"{where} is taken by another program on this node: {text}", recoverable=True)
    if error.status == 404 and "no such image" in low:
        return DriverError(f"image {image} has gone from this node: {text}", recoverable=True)
    if "executable file not found" in low or ("no such file or directory" in low and "exec" in low):
        return DriverError(f"the command is not in image {image}: {text}")
    if "no command specified" in low:
        return DriverError(f"image {image} has no command of its own; give `command` in config")
    if error.status == 404 and "network" in low:
        return DriverError(f"the engine has no such network; create it or change network_mode: {text}")
    passing = error.status >= 500 and any(word in low for word in _PASSING)
    return DriverError(f"the Docker engine refused the container: {text}", recoverable=passing)


class CpuMeter:
    """CPU per cent from the difference of two samples of one container."""

    def __init__(self) -> None:
        self._last: tuple[int, int] | None = None

    def read(self, sample: dict[str, Any], now_ns: int) -> TaskStats:
        """Use of resources from one answer of the stats endpoint."""
        cpu = sample.get("cpu_stats") or {}
        total_ns = int((cpu.get("cpu_usage") or {}).get("total_usage") or 0)
        percent = 0.0
        if self._last is not None and now_ns > self._last[1] and total_ns >= self._last[0]:
            percent = 100.0 * (total_ns - self._last[0]) / (now_ns - self._last[1])
        self._last = (total_ns, now_ns)
        memory = sample.get("memory_stats") or {}
        details = memory.get("stats") or {}
        rss = int(details.get("rss") or details.get("anon") or 0)
        cache = int(details.get("cache") or details.get("file") or 0)
        usage = int(memory.get("usage") or 0)
        return TaskStats(
            timestamp_ns=now_ns,
            cpu_total_ns=total_ns,
            cpu_percent=percent,
            memory_rss_bytes=rss or max(0, usage - cache),
            memory_cache_bytes=cache,
            memory_max_usage_bytes=int(memory.get("max_usage") or usage),
            pids=int((sample.get("pids_stats") or {}).get("current") or 0),
        )


def attributes(version: dict[str, Any], info: dict[str, Any], bridge: dict[str, Any]) -> dict[str, str]:
    """What the fingerprint says of an engine that answers. `bridge`: its default network, or empty."""
    gateways = [str(pool.get("Gateway") or "") for pool in (bridge.get("IPAM") or {}).get("Config") or []]
    found = {
        "driver.docker": "1",
        "driver.docker.version": str(version.get("Version", "")),
        "driver.docker.api_version": str(version.get("ApiVersion", "")),
        "driver.docker.bridge_ip": next((ip for ip in gateways if ip), ""),
        "driver.docker.os_type": str(info.get("OSType", "")),
        "driver.docker.runtimes": ",".join(sorted(info.get("Runtimes") or {})),
        "driver.docker.storage_driver": str(info.get("Driver", "")),
        "driver.docker.cgroup_version": str(info.get("CgroupVersion", "")),
    }
    return {key: value for key, value in found.items() if value}
