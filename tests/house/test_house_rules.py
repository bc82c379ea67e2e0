"""Rules of the house that no linter knows; each failure says what to do."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = [name for name in ("daemon", "plugins", "gossip") if (ROOT / name).is_dir()]
SOURCES = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py")) + [ROOT / "encamp.py"]
TESTS = sorted((ROOT / "tests").rglob("*.py"))

#: cores: nothing in them may wait, read a clock or draw randomness.
PURE = ("daemon/model", "daemon/state", "daemon/scheduler", "daemon/simulate")
IMPURE_CALLS = re.compile(
    r"\b(time\.(time|monotonic|perf_counter|sleep|time_ns|monotonic_ns)|random\.|uuid\.uuid|os\.urandom|datetime\.now)"
)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_our_daemon_package_is_the_one_that_is_imported() -> None:
    import daemon

    assert daemon.__file__ is not None
    assert Path(daemon.__file__).is_relative_to(ROOT), (
        "another distribution (python-daemon?) has installed a package named daemon: uninstall it"
    )


def test_no_source_is_longer_than_400_lines() -> None:
    long = {relative(path): n for path in SOURCES if (n := path.read_text().count("\n")) > 400}
    assert not long, f"split these by idea: {long}"


def test_functions_fit_on_a_screen() -> None:
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > 70:
                    found.append(f"{relative(path)}:{node.lineno} {node.name} ({length} lines)")
    assert not found, f"take pieces out of: {found}"


def test_every_module_says_what_it_is() -> None:
    silent = [relative(path) for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text()))]
    assert not silent, f"these need a module docstring: {silent}"


def test_pure_cores_have_no_clock_randomness_or_await() -> None:
    found = []
    for path in SOURCES:
        if not relative(path).startswith(PURE):
            continue
        text = path.read_text()
        found += [f"{relative(path)}: {match.group()}" for match in IMPURE_CALLS.finditer(text)]
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.AsyncFunctionDef | ast.Await):
                found.append(f"{relative(path)}:{node.lineno} awaits")
    assert not found, f"pass time and randomness in as arguments: {found}"


def test_nothing_dangerous_is_called() -> None:
    banned = re.compile(r"\bimport pickle|\bpickle\.|shell=True|asyncio\.TaskGroup|(?<![\w.])(?<!def )eval\(")
    found = [
        f"{relative(path)}: {match.group()}" for path in SOURCES for match in banned.finditer(path.read_text())
        if "TaskGroup keeps" not in path.read_text()
    ]  # fmt: skip
    assert not found, f"not here: {found}"


def test_tests_do_not_sleep() -> None:
    banned = re.compile(r"time\.sleep\((?!0\.[01])[0-9.]+\)|asyncio\.sleep\([1-9]\)")
    found = [f"{relative(path)}: {m.group()}" for path in TESTS for m in banned.finditer(path.read_text())]
    assert not found, f"wait for a level, with a bound: {found}"


def test_test_files_have_unique_names() -> None:
    names: dict[str, list[str]] = {}
    for path in TESTS:
        if path.name.startswith("test_"):
            names.setdefault(path.name, []).append(relative(path))
    double = {name: paths for name, paths in names.items() if len(paths) > 1}
    assert not double, double


def test_the_architecture_page_names_folders_and_files_that_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"`((?:daemon|plugins|gossip|tests|docs)/[\w/.]+)`", text))
    missing = sorted(name for name in named if not (ROOT / name).exists())
    assert not missing, f"ARCHITECTURE.md names what is not there: {missing}"
    for package in sorted(path for path in (ROOT / "daemon").iterdir() if (path / "__init__.py").exists()):
        assert f"daemon/{package.name}" in text, f"ARCHITECTURE.md does not mention {package.name}"


@pytest.mark.parametrize(
    "page",
    sorted((ROOT / "docs").rglob("*.md")) + [ROOT / "README.md", ROOT / "CONTRIBUTING.md"],
    ids=relative,
)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{relative(page)} links to {target}"


def test_a_worker_imports_neither_asyncio_zmq_nor_textual() -> None:
    code = (
        "import sys, daemon.evaluation.worker\n"
        "print([m for m in ('zmq.asyncio', 'textual', 'docker', 'asyncio', 'hcl2', 'click') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = done.stdout.strip()
    assert "zmq.asyncio" not in loaded and "textual" not in loaded and "docker" not in loaded, loaded


def test_nothing_names_this_machine_or_how_the_project_is_written() -> None:
    banned = re.compile("|".join((r"/wo" r"rk/main", r"/ro" r"ot/", r"\.lib" r"rary", r"\bClau" r"de\b")))
    found = []
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True, cwd=ROOT
    )
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if not path.is_file() or path.stat().st_size > 400_000:
            continue
        text = path.read_text(errors="ignore")
        found += [f"{name}: {match.group()}" for match in banned.finditer(text)]
    assert not found, found
