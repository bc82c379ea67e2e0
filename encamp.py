"""The public face of encamp: the version, and what a plugin author needs.

Third parties import from here only; everything below may move.
"""

from plugins.driver import (
    Capabilities,
    Driver,
    DriverError,
    ExitResult,
    Fingerprint,
    TaskConfig,
    TaskHandle,
    TaskStats,
)
from plugins.spec import hookimpl

__version__ = "0.1.0"

__all__ = [
    "Capabilities",
    "Driver",
    "DriverError",
    "ExitResult",
    "Fingerprint",
    "TaskConfig",
    "TaskHandle",
    "TaskStats",
    "__version__",
    "hookimpl",
]
