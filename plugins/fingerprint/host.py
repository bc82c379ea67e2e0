"""Kernel, distribution, host name."""

from __future__ import annotations

import ctypes
import platform
import shlex
from collections.abc import Callable
from typing import ClassVar, Final

from plugins.fingerprint.base import Fingerprinter, ProbeContext, ProbeResult
from plugins.fingerprint.files import text_of

#: the same number on every architecture that Linux gained after 5.1.
_LANDLOCK_CREATE_RULESET: Final = 444
_LANDLOCK_VERSION_FLAG: Final = 1


def landlock_version() -> int:
    """The kernel's Landlock ABI; 0: none, or switched off."""
    libc = ctypes.CDLL(None, use_errno=True)
    found = int(
        libc.syscall(
            ctypes.c_long(_LANDLOCK_CREATE_RULESET),
            ctypes.c_void_p(None),
            ctypes.c_size_t(0),
            ctypes.c_uint(_LANDLOCK_VERSION_FLAG),
        )
    )
    return max(0, found)


class HostProbe(Fingerprinter):
    """kernel.name, .version, .arch, .landlock; os.name, .version; unique.hostname."""

    name: ClassVar[str] = "host"
    period_s: ClassVar[float] = 300

    def __init__(self, landlock: Callable[[], int] = landlock_version) -> None:
        self.landlock = landlock

    def probe(self, context: ProbeContext) -> ProbeResult:
        """Read the kernel's names and the distribution's release file."""
        kernel = context.proc / "sys/kernel"
        release = os_release(
            text_of(context.etc / "os-release") or text_of(context.etc.parent / "usr/lib/os-release")
        )
        abi = self.landlock()
        attributes = {
            "kernel.name": (text_of(kernel / "ostype") or platform.system()).lower(),
            "kernel.version": text_of(kernel / "osrelease") or platform.release(),
            "kernel.arch": platform.machine(),
            "kernel.landlock": f"v{abi}" if abi else "",
            "os.name": release.get("ID", "linux"),
            "os.version": release.get("VERSION_ID", ""),
            "unique.hostname": text_of(kernel / "hostname") or platform.node(),
        }
        return ProbeResult(attributes={key: value for key, value in attributes.items() if value})


def os_release(text: str) -> dict[str, str]:
    """Keys of a release file, which is written as shell assignments; lines that are none are left out."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if not equals or key.startswith("#"):
            continue
        try:
            words = shlex.split(value)
        except ValueError:
            continue
        found[key] = words[0] if words else ""
    return found
