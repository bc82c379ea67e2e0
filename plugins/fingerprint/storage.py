"""Disk under the data directory, where allocations live.

Theory: what can be given to allocations is what is free when the agent starts, not the disk's size. It is
measured once: measured again it would count down what allocations use, which the scheduler has counted
already. The client settings `disk_total_mb` and `disk_free_mb` override.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final

from plugins.fingerprint.base import Fingerprinter, NodeResources, ProbeContext, ProbeResult
from plugins.fingerprint.files import override, text_of

MIB: Final = 2**20
_ESCAPES: Final = {"\\040": " ", "\\011": "\t", "\\012": "\n", "\\134": "\\"}


class StorageProbe(Fingerprinter):
    """unique.storage.volume, .bytestotal, .bytesfree."""

    name: ClassVar[str] = "storage"

    def __init__(self, statvfs: Callable[[Path], os.statvfs_result] = os.statvfs) -> None:
        self.statvfs = statvfs

    def probe(self, context: ProbeContext) -> ProbeResult:
        """Ask the file system of the data directory. Raises OSError."""
        found = self.statvfs(context.data_dir)
        total = override(context, "disk_total_mb") * MIB or found.f_blocks * found.f_frsize
        free = override(context, "disk_free_mb") * MIB or min(total, found.f_bavail * found.f_frsize)
        if context.overrides.get("disk_total_mb") and not context.overrides.get("disk_free_mb"):
            free = total  # an operator who says how much there is means for allocations
        attributes = {
            "unique.storage.volume": volume_of(
                str(context.data_dir.resolve()), text_of(context.proc / "self/mountinfo")
            ),
            "unique.storage.bytestotal": str(total),
            "unique.storage.bytesfree": str(free),
        }
        return ProbeResult(
            attributes={key: value for key, value in attributes.items() if value},
            resources=NodeResources(disk_mb=free // MIB),
        )


def volume_of(path: str, mountinfo: str) -> str:
    """The device of the mount that holds a path; empty: not known."""
    best, device = "", ""
    for line in mountinfo.splitlines():
        head, dash, tail = line.partition(" - ")
        fields, kinds = head.split(), tail.split()
        if not dash or len(fields) < 5 or len(kinds) < 2:
            continue
        point = fields[4]
        for escape, plain in _ESCAPES.items():
            point = point.replace(escape, plain)
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, device = point, kinds[1]
    return device
