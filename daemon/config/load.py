"""The entry: paths, -dev and flags to an `AgentConfig`, or every error at once.

Theory: layers in order, the later winning: defaults or the -dev preset, files in order, flags. The dialects are
those of job files (HCL2 first, then the classic one, JSON by its first character).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.config.build import build_config
from daemon.config.files import collect
from daemon.config.merge import Layers, add_fields
from daemon.config.rules import PluginCheck, check_config, check_plugins
from daemon.config.settings import AgentConfig
from daemon.config.tables import AGENT, SUPPORT
from daemon.jobspec.body import Block
from daemon.jobspec.diagnostics import Diagnostic, ordered, render
from daemon.jobspec.read import decode_text, read_plain
from daemon.jobspec.schema.reader import Reader
from daemon.jobspec.source import Source
from daemon.model.errors import InvalidInput

#: what -dev says before any file does.
DEV_PRESET: dict[tuple[str, ...], Any] = {
    ("log_level",): "DEBUG",
    ("server", "enabled"): True,
    ("client", "enabled"): True,
    ("client", "gc_interval"): 600_000_000_000,
    ("client", "gc_disk_usage_threshold"): 99,
    ("client", "gc_inode_usage_threshold"): 99,
    ("plugin", "raw_exec", "is_set"): True,
    ("plugin", "raw_exec", "config", "enabled"): True,
}


class ConfigErrors(InvalidInput):
    """The agent may not start; `diagnostics` say why, all of it."""

    def __init__(self, diagnostics: list[Diagnostic]) -> None:
        super().__init__("the agent's configuration is not valid:\n\n" + render(diagnostics))
        self.diagnostics = diagnostics


def load_config(
    paths: list[Path],
    *,
    dev: bool = False,
    overrides: Mapping[str, Any] | None = None,
    check_plugin: PluginCheck | None = check_plugins,
) -> AgentConfig:
    """Read configuration.

    `overrides` are flags by dotted key (`data_dir`, `server.enabled`, `client.meta.rack`): the last word.
    `check_plugin` None skips the plugins' check of their settings.
    Raises: ConfigErrors.
    """
    layers = Layers()
    found: list[Diagnostic] = []
    if dev:
        for path, value in DEV_PRESET.items():
            layers.put(path, value, None)
    files, unreadable = collect(paths)
    found += unreadable
    for name, data in files:
        found += _add_file(layers, name, data)
    for key, value in (overrides or {}).items():
        text = "" if isinstance(value, dict | list | tuple) else str(value)
        layers.put(tuple(key.split(".")), value, Source(f"flag {key}", text).range(0, len(text)))
    config, problems = build_config(layers, dev=dev)
    found += problems
    failed = any(each.is_error for each in found)
    found += check_config(config, layers, check_plugin if not failed else None)
    failures = [each for each in ordered(found) if each.is_error]
    if failures:
        raise ConfigErrors(failures)
    return config


def _add_file(layers: Layers, name: str, data: bytes) -> list[Diagnostic]:
    source, found = decode_text(data, name)
    if found:
        return found
    document = read_plain(source)
    if document.body is None:
        return document.found
    reader = Reader(support=SUPPORT)
    fields = reader.block(AGENT, Block("configuration", source.whole(), [], document.body), ())
    add_fields(layers, fields, reader)
    return [*document.found, *reader.found]
