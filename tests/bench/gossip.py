"""gossip: detection and dissemination beside the reference's table, bytes and processor time per member.

Source: the published table of a discrete-event model of memberlist's rules; both have no push/pull here.
"""

from __future__ import annotations

import resource
import time

from gossip.config import PRESETS
from gossip.memory.world import World
from tests.bench.report import Figure
from tests.gossip.checkers import Watcher
from tests.gossip.cluster import warm
from tests.gossip.measure import REFERENCE, death, percentile, spread, trials, without_repair

_BASE_TRIALS = {3: 100, 5: 100, 10: 100, 25: 60, 50: 40, 100: 20, 500: 4}


def run(scale: float) -> list[Figure]:
    """Measure all rows of the table, then the cost of a member."""
    return [*_times(scale), *_costs(scale)]


def _times(scale: float) -> list[Figure]:
    figures = []
    print(f"{'':<10}{'death known to all p50 / p95':>34}{'news known to all p50 / p95':>34}")
    print(f"{'':<10}{'ours':>18}{'reference':>16}{'ours':>18}{'reference':>16}")
    for (preset, size), (death_p50, death_p95, spread_p50, spread_p95) in REFERENCE.items():
        timing = without_repair(PRESETS[preset])
        count = max(3, round(_BASE_TRIALS[size] * scale))
        deaths = trials(timing, size, count, 0.0, death)
        spreads = trials(timing, size, count, 0.0, spread)
        ours = [percentile(values, share) for values in (deaths, spreads) for share in (0.5, 0.95)]
        print(
            f"{preset} {size:<6}{ours[0]:>10.1f} / {ours[1]:<6.1f}{death_p50:>8.1f} / {death_p95:<6.1f}"
            f"{ours[2]:>10.2f} / {ours[3]:<6.2f}{spread_p50:>8.2f} / {spread_p95:<6.2f}",
            flush=True,
        )
        figures.append(
            Figure(
                name=f"gossip {preset} {size} death p95",
                value=ours[1],
                unit="virtual s",
                better="lower",
                includes=f"crash until all survivors know, no loss, {count} clusters",
                leaves_out="push/pull and reconnecting, as in the reference",
                phases={"ours p50": ours[0], "reference p50": death_p50, "reference p95": death_p95},
                repeats=deaths,
            )
        )
        figures.append(
            Figure(
                name=f"gossip {preset} {size} news p95",
                value=ours[3],
                unit="virtual s",
                better="lower",
                includes=f"new tags until all members have them, no loss, {count} clusters",
                leaves_out="push/pull and reconnecting, as in the reference",
                phases={"ours p50": ours[2], "reference p50": spread_p50, "reference p95": spread_p95},
                repeats=spreads,
            )
        )
    return figures


def _costs(scale: float) -> list[Figure]:
    figures = []
    for size, seconds in ((5, 600.0), (100, 60.0), (1000, 5.0)):
        for keys in ((), (b"k" * 32,)):
            world = World(1)
            watcher = Watcher(world)
            warm(world, size, keys=keys)
            watcher.adopt()
            watcher.bytes = watcher.packets = 0
            span_s = max(2.0, seconds * scale)
            began, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
            world.run(span_s)
            processor_s = resource.getrusage(resource.RUSAGE_SELF).ru_utime - used
            share = size * span_s
            figures.append(
                Figure(
                    name=f"gossip {size} idle{' sealed' if keys else ''}",
                    value=watcher.bytes / share,
                    unit="bytes/member/s",
                    better="lower",
                    includes=f"probes and answers, {span_s:.0f} virtual s at LAN timings",
                    leaves_out="IP and UDP headers; the kernel; streams",
                    phases={
                        "packets/member/s": watcher.packets / share,
                        "processor ms/member/s": 1000 * processor_s / share,
                        "virtual s per s": span_s / (time.perf_counter() - began),
                    },
                )
            )
    return figures
