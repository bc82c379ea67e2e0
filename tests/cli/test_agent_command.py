"""Flags and files of `encamp agent` become the configuration that the agent is started with."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.cli.commands import agent as command
from daemon.cli.commands.agent import overrides
from daemon.config.settings import AgentConfig
from daemon.model.errors import InvalidInput
from tests.cli.conftest import Encamp


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[AgentConfig]]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    configs: list[AgentConfig] = []

    def start(config: AgentConfig) -> int:
        configs.append(config)
        return 0

    monkeypatch.setattr(command, "start", start)
    yield configs
    for number, handler in before.items():
        signal.signal(number, handler)


def test_dev(started: list[AgentConfig], encamp: Encamp) -> None:
    result = encamp("agent", "-dev", "-rpc-port", "0", "-node", "n1", "-meta", "rack=r1", "-log-level=warn")
    assert result.code == 0, result
    (config,) = started
    assert config.dev and config.server.enabled and config.client.enabled
    assert (config.name, config.client.meta, config.ports.rpc) == ("n1", {"rack": "r1"}, 0)
    assert config.log.level == "WARN"
    assert "==> encamp agent configuration:" in result.out and "Region    = global (DC: dc1)" in result.out


def test_flags_win_over_files(started: list[AgentConfig], encamp: Encamp, tmp_path: Path) -> None:
    file = tmp_path / "a.hcl"
    file.write_text(
        f'data_dir = "{tmp_path}"\nregion = "north"\ndatacenter = "x"\nserver {{ enabled = true }}\n'
    )
    result = encamp("agent", "-config", str(file), "-dc", "y", "-region", "south")
    assert result.code == 0, result
    (config,) = started
    assert (config.region, config.datacenter, config.data_dir) == ("south", "y", str(tmp_path))


def test_every_error_is_shown_and_nothing_starts(
    started: list[AgentConfig], encamp: Encamp, tmp_path: Path
) -> None:
    file = tmp_path / "a.hcl"
    file.write_text('data_dri = "/x"\nacl { enabled = true }\n')
    result = encamp("agent", "-config", str(file))
    assert result.code == 1
    assert "a.hcl:1:1" in result.err and "a.hcl:2:1" in result.err
    assert started == [] and result.out == ""


def test_an_agent_must_know_where_its_data_is(started: list[AgentConfig], encamp: Encamp) -> None:
    result = encamp("agent", "-server")
    assert result.code == 1 and "data_dir" in result.err


def test_servers_are_lists() -> None:
    said = overrides("", (), ("127.0.0.1:1, 127.0.0.1:2", "127.0.0.1:3"), client=True)
    assert said == {
        "client.enabled": True,
        "client.servers": ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"],
    }
    with pytest.raises(InvalidInput, match="KEY=VALUE"):
        overrides("", ("rack",), ())
