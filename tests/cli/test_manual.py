"""The manual's commands exist, with their options; its job files are valid; its table of exit codes is complete."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from daemon.cli.framework import LazyGroup
from daemon.cli.registry import TABLE
from daemon.jobspec.parse import parse_job

MANUAL = Path(__file__).parents[2] / "docs" / "manual"
PAGES = (
    "cli.md",
    "draining.md",
    "launched-jobs.md",
    "getting-started.md",
    "quarantine.md",
    "simulate.md",
    "troubleshooting.md",
    "updates.md",
)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (page, text)
        for page in PAGES
        for kind, text in BLOCK.findall((MANUAL / page).read_text())
        if kind == language
    ]


def shell_lines() -> list[str]:
    return sorted(
        {line for _, text in blocks("shell") for line in text.splitlines() if line.startswith("encamp ")}
    )


@pytest.mark.parametrize("line", shell_lines())
def test_commands_parse(line: str) -> None:
    words = shlex.split(line, comments=True)
    words = words[1 : words.index(">")] if ">" in words else words[1:]
    ctx: click.Context = LazyGroup("").make_context("encamp", list(words))
    while isinstance(ctx.command, click.Group):
        rest = [*ctx._protected_args, *ctx.args]
        name, command, args = ctx.command.resolve_command(ctx, rest)
        assert command is not None
        ctx = command.make_context(name, args, parent=ctx)


@pytest.mark.parametrize(
    ("page", "text"), [pair for pair in blocks("hcl") if not pair[1].startswith("machine ")]
)
def test_job_files_are_valid(page: str, text: str) -> None:
    result = parse_job(text, filename=page)
    assert result.job is not None, [str(each) for each in result.diagnostics]
    assert not result.diagnostics


def test_every_command_is_in_the_manual() -> None:
    shown = {" ".join(line.split()[1:end]) for line in shell_lines() for end in (2, 3, 4)}
    text = (MANUAL / "cli.md").read_text()
    for entry in TABLE:
        if entry.target:
            assert (
                entry.path in shown or f"`encamp {entry.path}" in text or f"(encamp {entry.path}" in text
            ), entry.path


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", (MANUAL / page).read_text()):
            if not target.startswith("../"):
                assert (MANUAL / target).exists(), (page, target)
