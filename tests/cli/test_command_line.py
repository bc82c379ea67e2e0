"""Parsing, help, errors and exit codes, without an agent."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from daemon.cli.durations import seconds
from daemon.cli.framework import LazyGroup, load
from daemon.cli.registry import ALIASES, TABLE
from daemon.cli.settings import Settings, wants_color
from tests.cli.conftest import Encamp

COMMANDS = [entry for entry in TABLE if entry.target]


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.path)
def test_every_command_has_help_with_an_example(entry: object, encamp: Encamp) -> None:
    path = entry.path.split()  # type: ignore[attr-defined]
    result = encamp(*path, "-help")
    assert result.code == 0
    assert "Example:" in result.out and "encamp " in result.out.split("Example:")[1]
    assert max(len(line) for line in result.out.splitlines()) <= 80
    assert "--json" not in result.out


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.path)
def test_every_long_option_has_both_forms(entry: object) -> None:
    command = load(entry)  # type: ignore[arg-type]
    for param in command.get_params(command.make_context("x", [], resilient_parsing=True)):
        if isinstance(param, click.Option):
            names = [*param.opts, *param.secondary_opts]
            for name in names:
                if len(name.lstrip("-")) > 1 and name.lstrip("-") != "help":
                    assert f"-{name.lstrip('-')}" in names and f"--{name.lstrip('-')}" in names


def test_aliases_lead_to_commands() -> None:
    paths = {entry.path for entry in TABLE}
    assert set(ALIASES.values()) <= paths


def test_groups_show_their_commands(encamp: Encamp) -> None:
    assert "eligibility" in encamp("node").out
    assert "job why" not in encamp("job", "-h").err
    top = encamp()
    assert top.code == 0 and "completion" in top.out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("jbo",), "Did you mean 'job'"),
        (("job", "rnu", "x"), "Did you mean 'run'"),
        (("job", "status", "-jsn"), "Did you mean '-json'"),
        (("job", "status", "-verbos", "x"), "Did you mean '-verbose'"),
        (("job", "run"), "Missing argument 'FILE'"),
        (("alloc", "logs", "-n", "many", "x"), "'many' is not a valid integer"),
        (("job", "run", "-timeout", "soon", "x"), "no length of time"),
    ],
)
def test_wrong_command_lines(args: tuple[str, ...], words: str, encamp: Encamp) -> None:
    result = encamp(*args)
    assert result.code == 1
    assert words in result.err
    assert result.out == ""
    assert "--help" in result.err


def test_plan_fails_with_its_own_code(encamp: Encamp) -> None:
    assert encamp("plan").code == 255
    assert encamp("plan", "/nonexistent.hcl").code == 255


def test_a_missing_file_is_named(encamp: Encamp) -> None:
    result = encamp("run", "/nonexistent.hcl")
    assert result.code == 1
    assert "/nonexistent.hcl: No such file or directory" in result.err


def test_no_agent_says_what_to_do(encamp: Encamp) -> None:
    result = encamp("status", "-address", "tcp://127.0.0.1:1")
    assert result.code == 1
    assert "tcp://127.0.0.1:1" in result.err and "encamp agent -dev" in result.err
    assert result.out == ""


@pytest.mark.parametrize("address", ["http://127.0.0.1:4646", "ipc://relative", "host:99999"])
def test_bad_addresses(address: str, encamp: Encamp) -> None:
    result = encamp("status", "-address", address)
    assert result.code == 1 and address in result.err


def test_global_flags_before_and_after(encamp: Encamp) -> None:
    for args in (
        ("-address", "tcp://127.0.0.1:1", "job", "status"),
        ("job", "-address=tcp://127.0.0.1:1", "status"),
        ("job", "status", "--address", "tcp://127.0.0.1:1"),
    ):
        assert "tcp://127.0.0.1:1" in encamp(*args).err


def test_version(encamp: Encamp) -> None:
    from encamp import __version__

    assert f"encamp v{__version__}" in encamp("version").out
    assert f'"Version": "{__version__}"' in encamp("version", "-json").out


@pytest.mark.parametrize(
    ("environment", "region"),
    [
        ({"ENCAMP_REGION": "a", "NOMAD_REGION": "b"}, "a"),
        ({"NOMAD_REGION": "b"}, "b"),
        ({}, ""),
    ],
)
def test_environment(environment: dict[str, str], region: str) -> None:
    settings = Settings()
    settings.merge_environment({**environment, "NOMAD_ADDR": "http://x:4646"})
    assert settings.region == region
    assert settings.address == ""


@pytest.mark.parametrize(
    ("flag", "environment", "terminal", "on"),
    [
        (None, {}, True, True),
        (None, {}, False, False),
        (None, {"NO_COLOR": "1"}, True, False),
        (None, {"TERM": "dumb"}, True, False),
        (None, {"NOMAD_CLI_FORCE_COLOR": "1"}, False, True),
        (True, {"NO_COLOR": "1"}, False, True),
        (False, {}, True, False),
    ],
)
def test_colours(flag: bool | None, environment: dict[str, str], terminal: bool, on: bool) -> None:
    assert wants_color(flag, environment, terminal) is on


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("90", 90),
        ("90s", 90),
        ("1h30m", 5400),
        ("250ms", 0.25),
        ("1.5m", 90),
        ("x", None),
        ("5", 5),
        ("5 s", None),
    ],
)
def test_durations(text: str, value: float | None) -> None:
    assert seconds(text) == value


def test_init_writes_and_never_overwrites(
    encamp: Encamp, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # type: ignore[arg-type]
    assert encamp("init").code == 0
    again = encamp("job", "init")
    assert again.code == 1 and "exists already" in again.err
    assert encamp("job", "init", "-short", "other.hcl").code == 0


def imported(*args: str) -> set[str]:
    """Modules that a command line loads, in a fresh interpreter."""
    code = (
        "import sys; from daemon.cli.main import main; main(sys.argv[1:]);"
        "sys.stderr.write('\\n@' + ' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=60)
    return set(done.stderr.rpartition("@")[2].split())


HEAVY = {
    "asyncio",
    "numpy",
    "rich",
    "hcl2",
    "lark",
    "hcl",
    "docker",
    "zmq.asyncio",
    "psutil",
    "yaml",
    "plugins.driver",
}


@pytest.mark.parametrize(
    "args",
    [
        ("status", "-address", "127.0.0.1:1"),
        ("alloc", "logs", "-address", "127.0.0.1:1", "abcd"),
        ("node", "-h"),
    ],
)
def test_queries_load_nothing_heavy(args: tuple[str, ...]) -> None:
    modules = imported(*args)
    assert "daemon.cli.main" in modules
    assert modules & HEAVY == set()
    assert not {
        name for name in modules if name.startswith(("daemon.jobspec", "daemon.server", "daemon.node"))
    }


def test_help_loads_no_command() -> None:
    assert not {name for name in imported("--help") if name.startswith("daemon.cli.commands.")}


def test_a_closed_pipe_is_silent() -> None:
    command = f"{sys.executable} -m daemon.cli.main --help; echo $? >&2"
    done = subprocess.run(
        ["/bin/bash", "-c", f"set -o pipefail; ({command}) | true"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish", "bash"])
def test_completion_scripts(shell: str, encamp: Encamp) -> None:
    result = encamp("completion", shell)
    assert result.code == 0 and "_ENCAMP_COMPLETE" in result.out


def completions(line: str) -> list[str]:
    import os

    words = line.split(" ")
    environment = {
        **os.environ,
        "_ENCAMP_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "daemon.cli.main"], env=environment, capture_output=True, text=True, timeout=60
    )
    return [each.partition(",")[2] for each in done.stdout.split()]


def test_completing_words() -> None:
    assert completions("encamp jo") == ["job"]
    assert set(completions("encamp job in")) == {"init", "inspect"}
    assert "-json" in completions("encamp job status -js")


def test_the_lazy_group_knows_no_strangers() -> None:
    group = LazyGroup("")
    assert group.get_command(click.Context(group), "nonsense") is None
