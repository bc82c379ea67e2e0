"""Cores and MHz of the machine.

Theory: a job's `cpu` is in MHz, but no kernel tells the MHz of every machine, and wrong guesses are worse
than none: some ARM machines report nothing, some hypervisors a clock of 28 MHz. So sources are asked in
order of how much they mean (the base clock that the vendor promises, the model's name, the highest clock,
the present clock), nonsense is passed over, and where nothing is left a core counts as 1000 MHz, so that
1 MHz means one thousandth of a core. Where cores differ (big and little) each counts with its own clock.
`cpu.frequency.source` says which it was; the client setting `cpu_total_compute` overrides all.
Source: Documentation/admin-guide/pm/cpufreq.rst; complaints gathered in users/wants.md 22.
"""

from __future__ import annotations

import platform
import re
from pathlib import Path
from typing import ClassVar, Final

from plugins.fingerprint.base import Fingerprinter, NodeResources, ProbeContext, ProbeResult
from plugins.fingerprint.files import cpu_list, number_of, override, text_of

ASSUMED_MHZ: Final = 1000
#: below, it is a timer's clock and not a core's; above, a wrong unit.
SANE_MHZ: Final = range(400, 10_000)
_IN_NAME: Final = re.compile(r"@\s*(\d+(?:\.\d+)?)\s*GHz", re.IGNORECASE)
#: machine names of the kernel as images and job files name them.
ARCHES: Final = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "i386": "386", "armv7l": "arm"}


class CpuProbe(Fingerprinter):
    """cpu.arch, .numcores, .reservablecores, .modelname, .frequency, .totalcompute; numa.node.count."""

    name: ClassVar[str] = "cpu"

    def probe(self, context: ProbeContext) -> ProbeResult:
        """Count usable cores and find their clocks."""
        info = _cpuinfo(text_of(context.proc / "cpuinfo"))
        cores = usable_cores(context)
        clocks, source = _clocks(context.sys / "devices/system/cpu", info, cores)
        total_mhz = sum(clocks.values())
        wanted = override(context, "cpu_total_compute")
        if wanted:
            total_mhz, source = wanted, "cpu_total_compute"
            clocks = dict.fromkeys(cores, wanted // len(cores))
        core_mhz = max(clocks.values())
        machine = platform.machine()
        attributes = {
            "cpu.arch": ARCHES.get(machine, machine),
            "cpu.numcores": str(len(cores)),
            "cpu.reservablecores": str(len(cores)),
            "cpu.frequency": str(core_mhz),
            "cpu.frequency.source": source,
            "cpu.totalcompute": str(total_mhz),
            "cpu.modelname": next((block["model name"] for block in info if block.get("model name")), ""),
            "numa.node.count": str(_numa_nodes(context.sys)),
        }
        return ProbeResult(
            attributes={key: value for key, value in attributes.items() if value},
            resources=NodeResources(
                cpu_mhz=total_mhz, cpu_cores=len(cores), core_ids=tuple(sorted(cores)), core_mhz=core_mhz
            ),
        )


def usable_cores(context: ProbeContext) -> set[int]:
    """Cores that are online and that this process may use; never empty."""
    online = cpu_list(text_of(context.sys / "devices/system/cpu/online"))
    if not online:
        count = len(_cpuinfo(text_of(context.proc / "cpuinfo")))
        online = set(range(count or 1))
    allowed: set[int] = set()
    for line in text_of(context.proc / "self/status").splitlines():
        key, _, value = line.partition(":")
        if key == "Cpus_allowed_list":
            allowed = cpu_list(value)
    return (online & allowed) or online


def _cpuinfo(text: str) -> list[dict[str, str]]:
    """The blocks of /proc/cpuinfo that describe a core."""
    blocks = []
    for part in text.split("\n\n"):
        pairs = (line.partition(":") for line in part.splitlines())
        block = {key.strip(): value.strip() for key, colon, value in pairs if colon}
        if "processor" in block:
            blocks.append(block)
    return blocks


def _clocks(root: Path, info: list[dict[str, str]], cores: set[int]) -> tuple[dict[int, int], str]:
    """MHz of each core, and where they come from."""
    named = {}
    present = {}
    for block in info:
        if block["processor"].isdecimal():
            number = int(block["processor"])
            found = _IN_NAME.search(block.get("model name", ""))
            named[number] = round(float(found[1]) * 1000) if found else 0
            present[number] = _mhz(block.get("cpu MHz", ""))
    sources = {
        "base_frequency": {core: _khz(root, core, "base_frequency") for core in cores},
        "model name": named,
        "cpuinfo_max_freq": {core: _khz(root, core, "cpuinfo_max_freq") for core in cores},
        "cpu MHz": present,
    }
    for source, clocks in sources.items():
        if all(clocks.get(core, 0) in SANE_MHZ for core in cores):
            return {core: clocks[core] for core in cores}, source
    return dict.fromkeys(cores, ASSUMED_MHZ), "assumed"


def _khz(root: Path, core: int, name: str) -> int:
    return round(number_of(root / f"cpu{core}/cpufreq/{name}") / 1000)


def _mhz(text: str) -> int:
    try:
        return round(float(text))
    except (ValueError, OverflowError):
        return 0


def _numa_nodes(sys: Path) -> int:
    return len(cpu_list(text_of(sys / "devices/system/node/online"))) or 1
