"""The drivers' own check of their `config` blocks, through the plugins that are installed here.

Theory: the plugin named like the driver is loaded alone, which is cheap; only for a name that no plugin
bears are all loaded. A plugin that cannot be imported here leaves its driver unknown here, no more.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plugins.manager import PluginManager

_lock = threading.Lock()
_manager: PluginManager | None = None


def check_task_config(driver: str, config: dict[str, Any]) -> list[tuple[str, str]] | None:
    """Problems as (path inside config, what is wrong); None when no plugin here has the driver."""
    global _manager
    from plugins.manager import PluginError, PluginManager

    with _lock:
        if _manager is None:
            _manager = PluginManager()
        manager = _manager
        if manager.task_config_type(driver) is None:
            for name in [driver] if driver in manager.names() else manager.names():
                try:
                    manager.load(name)
                except PluginError:
                    # the agent reports broken plugins; here the driver is merely unknown.
                    continue
        if manager.task_config_type(driver) is None:
            return None
        return list(manager.check_task_config(driver, config))


def check_plugin_config(plugin: str, config: dict[str, Any]) -> list[tuple[str, str]]:
    """Problems of a plugin's settings in the agent's configuration."""
    from plugins.manager import PluginError, PluginManager

    manager = PluginManager()
    try:
        manager.load(plugin)
    except PluginError as failure:
        return [("", str(failure))]
    return list(manager.check_plugin_config(plugin, config))
