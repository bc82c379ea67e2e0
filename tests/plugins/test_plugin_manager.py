"""Plugins: found, loaded one by one and all at once; broken ones harm only themselves."""

from __future__ import annotations

import logging
import subprocess
import sys
import types
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from plugins.docker_driver.config import DockerConfig
from plugins.docker_driver.driver import DockerDriver
from plugins.driver import Driver
from plugins.fingerprint.base import Fingerprinter
from plugins.manager import BUILT_IN, PluginError, PluginManager, installed_points
from plugins.spec import ENTRY_POINT_GROUP, hookimpl


class Settings(msgspec.Struct, forbid_unknown_fields=True):
    size: int = 1


class Config(msgspec.Struct, forbid_unknown_fields=True):
    command: str
    count: int = 1


class Toy(DockerDriver):
    name: ClassVar[str] = "toy"
    task_config: ClassVar[type[msgspec.Struct]] = Config
    plugin_config: ClassVar[type[msgspec.Struct] | None] = None


@pytest.fixture
def modules() -> Iterator[Any]:
    """Makes modules that can be imported, and takes them away again."""
    made: list[str] = []

    def make(name: str, **content: Any) -> EntryPoint:
        full = f"encamp_test_plugin_{name}"
        module = types.ModuleType(full)
        for key, value in content.items():
            setattr(module, key, value)
        sys.modules[full] = module
        made.append(full)
        return EntryPoint(name=name, value=full, group=ENTRY_POINT_GROUP)

    yield make
    for full in made:
        del sys.modules[full]


def hook(result: Any, name: str = "encamp_drivers") -> Any:
    """A hook implementation that returns this."""

    def implementation() -> Any:
        if isinstance(result, Exception):
            raise result
        return result

    implementation.__name__ = name
    return hookimpl(implementation)


def manager(*points: EntryPoint) -> PluginManager:
    quiet = logging.getLogger("test.plugins")
    quiet.disabled = True
    return PluginManager(points={point.name: point for point in points}, logger=quiet)


def test_the_built_in_plugins_are_found_without_an_installation() -> None:
    assert set(BUILT_IN) <= set(installed_points())


def test_names_import_nothing(modules: Any) -> None:
    missing = EntryPoint(name="ghost", value="no.such.module", group=ENTRY_POINT_GROUP)
    found = manager(missing, modules("toy", encamp_drivers=hook([Toy])))
    assert found.names() == ["ghost", "toy"]
    assert found.loaded() == []
    assert found.drivers() == {}


def test_load_one(modules: Any) -> None:
    found = manager(modules("toy", encamp_drivers=hook([Toy])), modules("other"))
    found.load("toy")
    found.load("toy")
    assert found.loaded() == ["toy"]
    assert found.drivers() == {"toy": Toy}
    assert found.task_config_type("toy") is Config
    assert found.task_config_type("nope") is None
    with pytest.raises(PluginError, match=r"no plugin 'nope' is installed \(installed: other, toy\)"):
        found.load("nope")


class Nameless(Toy):
    name: ClassVar[str] = ""


class NoConfig(Toy):
    name: ClassVar[str] = "noconfig"
    task_config: ClassVar[Any] = dict


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"encamp_drivers": hook(RuntimeError("boom"))}, "failed to say what it brings: boom"),
        ({"encamp_drivers": hook("text")}, "returned str, expected a list"),
        ({"encamp_drivers": hook([int])}, "which is no Driver"),
        ({"encamp_drivers": hook([Nameless])}, "without a `name`"),
        ({"encamp_drivers": hook([NoConfig])}, "no struct `task_config`"),
        ({"encamp_fingerprinters": hook([Toy], "encamp_fingerprinters")}, "which is no Fingerprinter"),
        ({"encamp_driver": hook([Toy], "encamp_driver")}, "a hook that encamp does not know"),
        ({"encamp_drivers": hookimpl(lambda surprise: [])}, "a hook that does not fit"),
    ],
)
def test_a_broken_plugin_is_refused_whole(modules: Any, content: dict[str, Any], why: str) -> None:
    found = manager(modules("bad", **content), modules("toy", encamp_drivers=hook([Toy])))
    with pytest.raises(PluginError, match=why):
        found.load("bad")
    assert found.loaded() == []
    failures = found.load_all()
    assert list(failures) == ["bad"]
    assert found.drivers() == {"toy": Toy}
    assert found.loaded() == ["toy"]


def test_a_plugin_that_cannot_be_imported(modules: Any) -> None:
    missing = EntryPoint(name="ghost", value="no.such.module", group=ENTRY_POINT_GROUP)
    found = manager(missing, modules("toy", encamp_drivers=hook([Toy])))
    assert "cannot be imported: ModuleNotFoundError" in found.load_all()["ghost"]
    assert list(found.drivers()) == ["toy"]


def test_two_plugins_with_one_driver_name(modules: Any) -> None:
    found = manager(modules("a", encamp_drivers=hook([Toy])), modules("b", encamp_drivers=hook([Toy])))
    failures = found.load_all()
    assert failures == {"b": "plugin 'b' brings driver 'toy', which plugin 'a' has too"}


def test_the_docker_and_fingerprint_plugins_load() -> None:
    found = PluginManager()
    found.load("docker")
    found.load("fingerprint")
    kinds: dict[str, type[Driver]] = found.drivers()
    assert kinds == {"docker": DockerDriver}
    assert found.task_config_type("docker") is DockerConfig
    probes: list[type[Fingerprinter]] = found.fingerprinters()
    assert [kind.name for kind in probes] == [
        "cgroups", "cpu", "host", "memory", "network", "signals", "storage",
    ]  # fmt: skip


def test_loading_the_docker_plugin_does_not_load_the_sdk() -> None:
    program = (
        "import sys; from plugins.manager import PluginManager; PluginManager().load('docker');"
        "print(sorted({'docker', 'requests'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert found.stdout == "[]\n"


def test_task_config_is_checked_as_it_stands_in_the_file(modules: Any) -> None:
    found = manager(modules("toy", encamp_drivers=hook([Toy])))
    found.load_all()
    assert found.check_task_config("toy", {"command": "a", "count": "${meta.n}"}) == []
    assert found.check_task_config("toy", {"comand": "a", "count": "many"}) == [
        ("comand", "unknown key; did you mean 'command'?"),
        ("count", "expected a whole number, found 'many'"),
        ("command", "is required and missing"),
    ]
    assert found.check_task_config("elsewhere", {"anything": 1}) == []


def test_plugin_config() -> None:
    found = PluginManager()
    found.load("docker")
    assert found.check_plugin_config("docker", {"volumes": [{"enabled": True}]}) == []
    assert found.check_plugin_config("docker", {"infra_image": "x"})[0][0] == "infra_image"
    assert found.check_plugin_config("docker", {"gc": {"image_delay": "soon"}})[0][0] == "gc.image_delay"
    assert "no driver 'qemu' is installed" in found.check_plugin_config("qemu", {})[0][1]
