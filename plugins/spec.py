"""Hook specifications: how drivers and fingerprinters are found. Group of entry points: `encamp.plugins`.

Hooks are for discovery only; the work goes through typed objects (`plugins.driver.Driver`,
`plugins.fingerprint.base.Fingerprinter`). A misspelt hook is refused when plugins are loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from plugins.driver import Driver
    from plugins.fingerprint.base import Fingerprinter

PROJECT = "encamp"
ENTRY_POINT_GROUP = "encamp.plugins"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def encamp_drivers() -> list[type[Driver]]:
    """Return the driver classes that this plugin brings. Importing them must be cheap: heavy imports are lazy."""
    return []


@hookspec
def encamp_fingerprinters() -> list[type[Fingerprinter]]:
    """Return the fingerprinter classes that this plugin brings."""
    return []
