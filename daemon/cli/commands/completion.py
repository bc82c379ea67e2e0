"""`encamp completion`: the script that a shell needs to complete encamp's words and ids."""

from __future__ import annotations

import sys

import click

from daemon.cli.framework import command

VARIABLE = "_ENCAMP_COMPLETE"


@command(
    "completion",
    example='eval "$(encamp completion bash)"\nencamp completion fish > ~/.config/fish/completions/encamp.fish',
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for a shell: commands, options, and the ids of jobs, allocations and nodes."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    made = found(ctx.find_root().command, {}, "encamp", VARIABLE)
    sys.stdout.write((made.source_template % made.source_vars()).strip() + "\n")
