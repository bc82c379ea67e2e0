"""Finds plugins and answers for what they bring: drivers and fingerprinters.

Theory: three grains. `names` lists what is installed and imports nothing; `load` imports one by name and
raises; `load_all` imports everything, and a plugin that is broken is reported in `failures` and harms
only itself. The built-in plugins are entry points as a third party's are; run from a checkout that nobody
installed, the same list is taken from here. A hook that is misspelt is refused (pluggy's check_pending).
Not here: running a driver; a plugin's own process.
"""

from __future__ import annotations

import logging
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

import msgspec
import pluggy

from plugins import configblock, spec
from plugins.driver import Driver
from plugins.fingerprint.base import Fingerprinter

#: what setup.cfg registers; taken when encamp runs from a checkout.
BUILT_IN: Final = {
    "raw_exec": "plugins.raw_exec.plugin",
    "exec": "plugins.exec_driver.plugin",
    "docker": "plugins.docker_driver.plugin",
    "mock_driver": "plugins.mock_driver.plugin",
    "fingerprint": "plugins.fingerprint.plugin",
}


class PluginError(Exception):
    """A plugin cannot be used; the text names it and says why."""


class PluginManager:
    """What is installed and what is loaded. Not thread-safe: made once at start."""

    def __init__(
        self, *, points: dict[str, EntryPoint] | None = None, logger: logging.Logger | None = None
    ) -> None:
        """Look at what is installed. `points` replaces that (tests)."""
        self.logger = logger or logging.getLogger("encamp.plugins")
        #: plugin name -> why it could not be loaded.
        self.failures: dict[str, str] = {}
        self._points = installed_points() if points is None else dict(points)
        self._pluggy = pluggy.PluginManager(spec.PROJECT)
        self._pluggy.add_hookspecs(spec)
        #: driver name -> (class, the plugin that brought it).
        self._drivers: dict[str, tuple[type[Driver], str]] = {}
        self._fingerprinters: dict[str, tuple[type[Fingerprinter], str]] = {}

    def names(self) -> list[str]:
        """Names of all plugins that are installed, sorted; imports nothing."""
        return sorted(self._points)

    def loaded(self) -> list[str]:
        """Names of the plugins that are loaded, sorted."""
        return sorted(name for name, _ in self._pluggy.list_name_plugin())

    def load(self, name: str) -> None:
        """Import and register one plugin. Idempotent. Raises PluginError; then nothing of it is registered."""
        if self._pluggy.has_plugin(name):
            return
        point = self._points.get(name)
        if point is None:
            known = ", ".join(self.names()) or "none"
            raise PluginError(f"no plugin {name!r} is installed (installed: {known})")
        try:
            module = point.load()
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, MemoryError)):
                raise
            raise PluginError(
                f"plugin {name!r} ({point.value}) cannot be imported: {type(error).__name__}: {error}"
            ) from error
        self.register(module, name)

    def register(self, plugin: Any, name: str) -> None:
        """Register an imported plugin and take what it brings. Raises PluginError; then nothing is registered."""
        try:
            self._pluggy.register(plugin, name)
        except ValueError as error:
            raise PluginError(f"plugin {name!r} is registered already") from error
        except Exception as error:  # pluggy refuses a hook with wrong arguments in several ways
            self._forget(plugin)
            raise PluginError(f"plugin {name!r} has a hook that does not fit: {error}") from error
        try:
            self._pluggy.check_pending()
            self._take(plugin, name)
        except pluggy.PluginValidationError as error:
            self._forget(plugin)
            raise PluginError(f"plugin {name!r} has a hook that encamp does not know: {error}") from error
        except PluginError:
            self._forget(plugin)
            raise

    def _forget(self, plugin: Any) -> None:
        if self._pluggy.is_registered(plugin):
            self._pluggy.unregister(plugin)

    def _take(self, plugin: Any, name: str) -> None:
        """Call one plugin's hooks and check what they return before any of it counts."""
        others = [other for other in self._pluggy.get_plugins() if other is not plugin]
        try:
            drivers = _flat(self._pluggy.subset_hook_caller("encamp_drivers", others)())
            probes = _flat(self._pluggy.subset_hook_caller("encamp_fingerprinters", others)())
        except Exception as error:
            raise PluginError(f"plugin {name!r} failed to say what it brings: {error}") from error
        for kind in drivers:
            self._check(kind, Driver, name, self._drivers)
            config = getattr(kind, "task_config", None)
            if not (isinstance(config, type) and issubclass(config, msgspec.Struct)):
                raise PluginError(f"driver {kind.name!r} of plugin {name!r} has no struct `task_config`")
        for kind in probes:
            self._check(kind, Fingerprinter, name, self._fingerprinters)
        self._drivers |= {kind.name: (kind, name) for kind in drivers}
        self._fingerprinters |= {kind.name: (kind, name) for kind in probes}

    @staticmethod
    def _check(kind: Any, base: type, plugin: str, taken: dict[str, tuple[Any, str]]) -> None:
        if not (isinstance(kind, type) and issubclass(kind, base)):
            raise PluginError(f"plugin {plugin!r} brings {kind!r}, which is no {base.__name__}")
        name = getattr(kind, "name", "")
        if not isinstance(name, str) or not name:
            raise PluginError(f"plugin {plugin!r} brings {kind.__name__} without a `name`")
        if name in taken:
            raise PluginError(
                f"plugin {plugin!r} brings {base.__name__.lower()} {name!r}, which plugin {taken[name][1]!r} has too"
            )

    def load_all(self) -> dict[str, str]:
        """Load everything installed; a broken plugin is logged and reported (name -> why), not fatal."""
        for name in self.names():
            try:
                self.load(name)
            except PluginError as error:
                self.failures[name] = str(error)
                self.logger.error("%s; the agent goes on without it", error)
            else:
                self.failures.pop(name, None)
        return dict(self.failures)

    def drivers(self) -> dict[str, type[Driver]]:
        """Driver classes of all loaded plugins by name."""
        return {name: kind for name, (kind, _) in sorted(self._drivers.items())}

    def fingerprinters(self) -> list[type[Fingerprinter]]:
        """Fingerprinter classes of all loaded plugins, by name."""
        return [kind for _, (kind, _) in sorted(self._fingerprinters.items())]

    def task_config_type(self, driver: str) -> type[msgspec.Struct] | None:
        """The struct of a driver's `config` block; None: no loaded plugin has such a driver."""
        found = self._drivers.get(driver)
        return found[0].task_config if found else None

    def check_task_config(self, driver: str, config: dict[str, Any]) -> configblock.Problems:
        """Problems (path inside config, what is wrong) of a task's block as it stands in the job file.

        Text with `${...}` is let through wherever a scalar may stand. An unknown driver has no problems here:
        whether any node has it is the scheduler's question.
        """
        kind = self.task_config_type(driver)
        return configblock.check(kind, config) if kind is not None else []

    def check_plugin_config(self, driver: str, config: dict[str, Any]) -> configblock.Problems:
        """Problems of the agent's `plugin "DRIVER" { config { ... } }` block."""
        found = self._drivers.get(driver)
        if found is None:
            return [("", f"no driver {driver!r} is installed (installed: {', '.join(self.drivers())})")]
        kind = found[0].plugin_config
        if kind is None:
            return [(str(key), f"driver {driver!r} takes no settings") for key in config]
        return configblock.check(kind, config)


def _flat(lists: list[Any]) -> list[Any]:
    """What all implementations of a hook returned, in one list."""
    found: list[Any] = []
    for item in lists:
        if not isinstance(item, (list, tuple)):
            raise TypeError(f"a hook returned {type(item).__name__}, expected a list")
        found.extend(item)
    return found


def installed_points() -> dict[str, EntryPoint]:
    """Entry points of the group by name, with the built-in ones where encamp itself is not installed."""
    found = {
        name: EntryPoint(name=name, value=module, group=spec.ENTRY_POINT_GROUP)
        for name, module in BUILT_IN.items()
    }
    for point in entry_points(group=spec.ENTRY_POINT_GROUP):
        # a built-in name stays ours, whatever else is installed
        if point.name not in BUILT_IN:
            found[point.name] = point
    return found
