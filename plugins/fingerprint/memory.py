"""Memory of the machine; the client setting `memory_total_mb` overrides it."""

from __future__ import annotations

from typing import ClassVar, Final

from plugins.fingerprint.base import Fingerprinter, NodeResources, ProbeContext, ProbeResult
from plugins.fingerprint.files import override

MIB: Final = 2**20


class MemoryProbe(Fingerprinter):
    """memory.totalbytes."""

    name: ClassVar[str] = "memory"

    def probe(self, context: ProbeContext) -> ProbeResult:
        """Read MemTotal. Raises OSError, or ValueError when the file says nothing."""
        total = override(context, "memory_total_mb") * MIB
        if not total:
            for line in (context.proc / "meminfo").read_text().splitlines():
                words = line.split()
                if len(words) >= 2 and words[0] == "MemTotal:" and words[1].isdecimal():
                    total = int(words[1]) * 1024
        if not total:
            raise ValueError(f"{context.proc / 'meminfo'} has no MemTotal; set client.memory_total_mb")
        return ProbeResult(
            attributes={"memory.totalbytes": str(total)}, resources=NodeResources(memory_mb=total // MIB)
        )
