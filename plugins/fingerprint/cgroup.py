"""The version of control groups that rules this machine's processes.

Theory: version 2 counts only where it has controllers. Machines with version 1 controllers often mount an
empty version 2 tree beside them; they are version 1.
"""

from __future__ import annotations

from typing import ClassVar, Final

from plugins.fingerprint.base import Fingerprinter, ProbeContext, ProbeResult
from plugins.fingerprint.files import text_of

#: version 1 hierarchies without which limits mean nothing.
_V1_TREES: Final = ("memory", "cpu", "cpu,cpuacct")


class CgroupProbe(Fingerprinter):
    """os.cgroups.version (1 or 2), unique.cgroup.mountpoint; nothing where there are none."""

    name: ClassVar[str] = "cgroups"
    period_s: ClassVar[float] = 300

    def probe(self, context: ProbeContext) -> ProbeResult:
        """Look at the mounted trees."""
        root = context.sys / "fs/cgroup"
        if text_of(root / "cgroup.controllers"):
            version = "2"
        elif any((root / tree / "cgroup.procs").exists() for tree in _V1_TREES):
            version = "1"
        else:
            return ProbeResult()
        return ProbeResult(attributes={"os.cgroups.version": version, "unique.cgroup.mountpoint": str(root)})
