"""Fixtures of the command line's tests: a scripted agent, and a way to call `encamp` in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from daemon.cli.main import main
from tests.cli.scripted import ScriptedAgent


class Result(NamedTuple):
    code: int
    out: str
    err: str


Encamp = Callable[..., Result]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (
        "ENCAMP_ADDR",
        "ENCAMP_REGION",
        "ENCAMP_NAMESPACE",
        "NOMAD_REGION",
        "NOMAD_NAMESPACE",
        "NO_COLOR",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedAgent]:
    scripted = ScriptedAgent()
    scripted.start()
    monkeypatch.setenv("ENCAMP_ADDR", scripted.address)
    yield scripted
    scripted.close()


@pytest.fixture
def encamp(capfd: pytest.CaptureFixture[str]) -> Encamp:
    def call(*args: str) -> Result:
        capfd.readouterr()
        code = main(args)
        out, err = capfd.readouterr()
        return Result(code, out, err)

    return call
