"""Layers of configuration on top of each other: flat paths to values, each with its place.

Theory: a later layer wins key by key. Maps (`client.meta`), host volumes and plugin settings are merged by
their names, so that one file can add to another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from daemon.jobspec.schema.reader import Fields, Reader
from daemon.jobspec.source import Range

Path = tuple[str, ...]


@dataclass(slots=True)
class Layers:
    """What was said, by path, and where it was said last."""

    values: dict[Path, Any] = field(default_factory=dict)
    places: dict[Path, Range | None] = field(default_factory=dict)

    def put(self, path: Path, value: Any, place: Range | None) -> None:
        """Say something; it wins over what was said before."""
        self.values[path] = value
        self.places[path] = place

    def get(self, *path: str) -> Any:
        """What was said, or None."""
        return self.values.get(path)

    def place(self, *path: str) -> Range | None:
        """Where it was said: the path, or the nearest thing around it."""
        while path:
            for known in (path, (*path, "is_set")):
                if self.places.get(known) is not None:
                    return self.places[known]
            path = path[:-1]
        return None

    def below(self, *path: str) -> Iterator[tuple[Path, Any]]:
        """(rest of the path, value) of everything inside."""
        for each, value in self.values.items():
            if each[: len(path)] == path and len(each) > len(path):
                yield each[len(path) :], value

    def names(self, *path: str) -> list[str]:
        """Names directly inside, in the order in which they were first said."""
        return list(dict.fromkeys(rest[0] for rest, _ in self.below(*path)))


def add_fields(layers: Layers, fields: Fields, reader: Reader) -> None:
    """Everything that one file says."""
    _put_values(layers, (), fields, reader)
    for name in ("ports", "server", "client"):
        inner = fields.one(name)
        if inner is None:
            continue
        layers.places[(name,)] = inner.range
        _put_values(layers, (name,), inner, reader)
        if name == "client":
            _put_client(layers, inner, reader)
    for plugin in fields.blocks.get("plugin", []):
        path = ("plugin", plugin.label)
        layers.put((*path, "is_set"), True, plugin.range)
        config = plugin.free.get("config")
        for key, value in (config.data if config else {}).items():
            layers.put((*path, "config", key), value.plain(), value.range)


def _put_values(layers: Layers, path: Path, fields: Fields, reader: Reader) -> None:
    for key, value in fields.values.items():
        layers.put((*path, key), value, reader.places.get((*fields.path, key)))


def _put_client(layers: Layers, client: Fields, reader: Reader) -> None:
    for key, text in reader.text_map(client, "meta").items():
        layers.put(("client", "meta", key), text, client.range)
    reserved = client.one("reserved")
    if reserved is not None:
        _put_values(layers, ("client", "reserved"), reserved, reader)
    for name in ("host_volume", "host_network"):
        for each in client.blocks.get(name, []):
            path = ("client", name, each.label)
            layers.put((*path, "is_set"), True, each.range)
            _put_values(layers, path, each, reader)
