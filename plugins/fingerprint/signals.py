"""The signals that tasks can be sent on this machine."""

from __future__ import annotations

import signal
from typing import ClassVar

from plugins.fingerprint.base import Fingerprinter, ProbeContext, ProbeResult


class SignalProbe(Fingerprinter):
    """os.signals: names with commas between them, so that `set_contains` constraints work."""

    name: ClassVar[str] = "signals"

    def probe(self, context: ProbeContext) -> ProbeResult:
        """List the platform's signals; real-time ones are left out, for they have no names of their own."""
        names = sorted(member.name for member in signal.Signals if not member.name.startswith("SIGRT"))
        return ProbeResult(attributes={"os.signals": ",".join(names)})
