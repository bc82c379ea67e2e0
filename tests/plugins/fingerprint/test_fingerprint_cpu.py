"""Cores and MHz on recorded machines: what a job's `cpu` is measured against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plugins.fingerprint.cpu import ASSUMED_MHZ, CpuProbe
from tests.plugins.fingerprint.trees import ARM, CLOUD, CPUS, XEON, cpuinfo, tree


@pytest.mark.parametrize(
    ("files", "overrides", "cores", "total", "source"),
    [
        pytest.param({"proc/cpuinfo": cpuinfo(XEON, XEON)}, {}, 2, 4800, "model name", id="name-before-now"),
        pytest.param({"proc/cpuinfo": cpuinfo(CLOUD, CLOUD)}, {}, 2, 5200, "cpu MHz", id="only-now"),
        pytest.param({"proc/cpuinfo": cpuinfo(ARM, ARM)}, {}, 2, 2 * ASSUMED_MHZ, "assumed", id="arm-silent"),
        pytest.param(
            {"proc/cpuinfo": cpuinfo({**CLOUD, "cpu MHz": "28.0"})},
            {},
            1,
            ASSUMED_MHZ,
            "assumed",
            id="28-mhz",
        ),
        pytest.param(
            {
                "proc/cpuinfo": cpuinfo(ARM, ARM),
                f"{CPUS}/online": "0-1\n",
                f"{CPUS}/cpu0/cpufreq/cpuinfo_max_freq": "1800000\n",
                f"{CPUS}/cpu1/cpufreq/cpuinfo_max_freq": "2400000\n",
            },
            {},
            2,
            4200,
            "cpuinfo_max_freq",
            id="big-little",
        ),
        pytest.param(
            {
                "proc/cpuinfo": cpuinfo(XEON),
                f"{CPUS}/cpu0/cpufreq/base_frequency": "2200000\n",
                f"{CPUS}/cpu0/cpufreq/cpuinfo_max_freq": "3500000\n",
            },
            {},
            1,
            2200,
            "base_frequency",
            id="base-first",
        ),
        pytest.param(
            {
                "proc/cpuinfo": cpuinfo(XEON, XEON),
                f"{CPUS}/cpu0/cpufreq/base_frequency": "2200000\n",
            },
            {},
            2,
            4800,
            "model name",
            id="a-source-must-know-all-cores",
        ),
        pytest.param(
            {"proc/cpuinfo": cpuinfo(XEON, XEON)},
            {"cpu_total_compute": 10_000},
            2,
            10_000,
            "cpu_total_compute",
            id="operator",
        ),
        pytest.param(
            {
                "proc/cpuinfo": cpuinfo(XEON, XEON, XEON, XEON),
                f"{CPUS}/online": "0-3\n",
                "proc/self/status": "Name:\tx\nCpus_allowed_list:\t1-2\n",
            },
            {},
            2,
            4800,
            "model name",
            id="only-the-cores-we-may-use",
        ),
        pytest.param({}, {}, 1, ASSUMED_MHZ, "assumed", id="nothing-known"),
        pytest.param(
            {"proc/cpuinfo": "\x00\xff garbage : : \n"}, {}, 1, ASSUMED_MHZ, "assumed", id="garbage"
        ),
    ],
)
def test_clock_and_cores(
    tmp_path: Path, files: dict[str, str], overrides: dict[str, Any], cores: int, total: int, source: str
) -> None:
    found = CpuProbe().probe(tree(tmp_path, files, **overrides))
    assert found.attributes["cpu.numcores"] == str(cores)
    assert found.attributes["cpu.totalcompute"] == str(total)
    assert found.attributes["cpu.frequency.source"] == source
    assert found.resources.cpu_mhz == total
    assert found.resources.cpu_cores == cores == len(found.resources.core_ids or ())


def test_an_override_that_is_no_number_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cpu_total_compute"):
        CpuProbe().probe(tree(tmp_path, {}, cpu_total_compute="lots"))
