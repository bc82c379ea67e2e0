"""How files are read: dialects, variables from outside, limits, the grammar's cache, cheap imports."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from daemon.jobspec.diagnostics import render
from daemon.jobspec.hcl.grammar import cache_file
from daemon.jobspec.parse import ParseResult, parse_job
from daemon.jobspec.read import SIZE_MAX_BYTES

ROOT = Path(__file__).parents[2]
BODY = 'group "g" {\n task "t" {\n driver = "raw_exec"\n config { command = "x" }\n }\n }\n'


def parse(text: str, **options: object) -> ParseResult:
    return parse_job(text, **options)  # type: ignore[arg-type]


def test_variables_win_in_order() -> None:
    text = 'variable "x" {\n default = "default"\n}\njob "a" {\n meta { x = var.x }\n' + BODY + "}"
    files = [("one.vars", 'x = "one"'), ("two.json", '{"x": "two"}')]
    environment = {"NOMAD_VAR_x": "environment"}

    def x(**options: object) -> str:
        result = parse(text, **options)
        assert result.job is not None, render(result.diagnostics)
        return result.job.meta["x"]

    assert x() == "default"
    assert x(environment=environment) == "environment"
    assert x(environment=environment, var_files=files[:1]) == "one"
    assert x(environment=environment, var_files=files) == "two"
    assert x(environment=environment, var_files=files, variables={"x": "flag"}) == "flag"


def test_undeclared_values_are_errors_unless_not_strict() -> None:
    text = 'job "a" {\n' + BODY + "}"
    options = {
        "variables": {"y": "1"},
        "var_files": [("f.vars", "z = 1\n")],
        "environment": {"NOMAD_VAR_q": "1"},
    }
    found = [each.summary for each in parse(text, **options).errors]
    assert sorted(found) == ['no variable "y" is declared', 'no variable "z" is declared']
    assert parse(text, **options, strict=False).job is not None


def test_a_variable_file_cannot_declare() -> None:
    result = parse('variable "x" {}\njob "a" {\n' + BODY + "}", var_files=[("f.vars", 'variable "x" {}\n')])
    assert "a variable file has no blocks" in render(result.diagnostics)


def test_servers_refuse_file_functions() -> None:
    text = 'job "a" {\n meta { x = file("/etc/hostname") }\n' + BODY + "}"
    assert parse(text).job is not None
    assert "not allowed here" in render(parse(text, allow_files=False).diagnostics)


def test_the_source_is_kept() -> None:
    text = 'variable "x" {}\njob "a" {\n' + BODY + "}"
    source = parse(text, variables={"x": "1"}).source
    assert (source.source, source.format, source.variables) == (text, "hcl2", {"x": "1"})


def test_a_byte_order_mark_is_dropped() -> None:
    assert parse_job(b"\xef\xbb\xbf" + b'job "a" {\n' + BODY.encode() + b"}").job is not None


def test_a_huge_file_is_refused_at_once() -> None:
    result = parse_job(b"#" * (SIZE_MAX_BYTES + 1))
    assert "more than" in result.errors[0].summary
    assert result.errors[0].range is not None


def test_a_large_job_is_read() -> None:
    groups = "".join(BODY.replace('"g"', f'"g{n}"') for n in range(200))
    result = parse('job "a" {\n' + groups + "}")
    assert result.job is not None
    assert len(result.job.task_groups) == 200


def test_both_dialects_give_one_job() -> None:
    text = (Path(__file__).parent / "cases" / "good" / "redis_classic.nomad").read_text()
    modern, classic = parse(text), parse(text, hcl1=True)
    assert (modern.source.format, classic.source.format) == ("hcl2", "hcl1")
    assert modern.job == classic.job is not None


@pytest.mark.parametrize(
    "name", ["c1m_template", "classic_two_tasks_one_label", "constraints", "volumes", "ports"]
)
def test_plain_files_mean_the_same_in_both_dialects(name: str) -> None:
    path = next((Path(__file__).parent / "cases" / "good").glob(f"{name}.nomad*"))
    assert parse(path.read_text()).job == parse(path.read_text(), hcl1=True).job


def test_threads_share_the_parsers() -> None:
    good = 'job "a" {\n' + BODY + "}"
    results: list[bool] = []

    def work(at: int) -> None:
        for turn in range(6):
            wanted = (at + turn) % 2 == 0
            result = parse(good if wanted else good[:-1], hcl1=at % 2 == 0)
            results.append((result.job is not None) == wanted)

    threads = [threading.Thread(target=work, args=(at,)) for at in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(results) == 36
    assert all(results)


def run(code: str, **environment: str) -> str:
    base = {key: value for key, value in os.environ.items() if key not in ("XDG_CACHE_HOME", "HOME")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**base, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_grammar_is_cached_where_the_user_can_write(tmp_path: Path) -> None:
    import hcl2

    beside = Path(hcl2.__file__).parent / ".lark_cache.bin"
    before = beside.exists()
    code = "from daemon.jobspec.parse import parse_job; print(len(parse_job('job').errors))"
    assert run(code, XDG_CACHE_HOME=str(tmp_path)) == "1\n"
    cached = list((tmp_path / "encamp").iterdir())
    assert [each.suffix for each in cached] == [".bin"]
    assert beside.exists() == before


def test_a_folder_that_others_can_write_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_file().startswith(str(tmp_path))
    (tmp_path / "encamp").chmod(0o777)
    assert cache_file() == ""
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.delenv("HOME", raising=False)
    assert cache_file() == ""


def test_importing_the_package_loads_no_grammar() -> None:
    code = (
        "import sys, daemon.jobspec.parse, daemon.jobspec.validate, daemon.jobspec.diff, daemon.jobspec.render;"
        "print([m for m in ('hcl', 'hcl2', 'lark', 'yaml', 're2', 'docker', 'pluggy', 'asyncio') if m in sys.modules])"
    )
    assert run(code) == "[]\n"


def test_every_example_is_valid() -> None:
    examples = sorted((ROOT / "contrib" / "jobs").iterdir())
    assert len(examples) >= 8
    for path in examples:
        if path.suffix in (".hcl", ".nomad", ".json"):
            result = parse_job(path.read_bytes(), filename=str(path))
            assert result.job is not None, render(result.diagnostics)


@pytest.mark.parametrize(
    ("declaration", "options"),
    [
        ("default = word", {}),
        ("type = any", {"variables": {"x": "word"}}),
        ("type = list(string)", {"var_files": [("f.vars", "x = [word]")]}),
        ("type = list(string)", {"environment": {"NOMAD_VAR_x": "[attr.kernel.name]"}}),
    ],
    ids=["default", "flag", "file", "environment"],
)
def test_values_of_variables_hold_no_references(declaration: str, options: dict[str, object]) -> None:
    text = 'variable "x" {\n' + declaration + '\n}\njob "a" {\n' + BODY + "}"
    assert "there is no value named" in render(parse(text, **options).diagnostics)
