"""What went wrong, in words, to stderr: the message, then what to do."""

from __future__ import annotations

import os

import click

from daemon.cli.console import Console
from daemon.model.errors import EncampError

_ADVICE = {
    "not_leader": "Try again in a moment: the servers are choosing a leader.",
    "deadline": "It may or may not have taken effect: look before you try again.",
    "invariant": "This is a fault of encamp itself; please report it with the agent's log.",
}


def explain(error: EncampError, console: Console) -> None:
    """An error of the agent, the connection or our own checks."""
    first, *rest = str(error).splitlines() or [type(error).__name__]
    advice = _ADVICE.get(error.code)
    console.error(first, *rest, *([advice] if advice else []))


def usage(error: click.UsageError, console: Console) -> int:
    """A wrong command line. Returns the exit code of the command that was meant."""
    hints: list[str] = []
    if error.ctx is not None:
        hints = [error.ctx.get_usage(), f"`{error.ctx.command_path} --help` explains it."]
    console.error(error.format_message(), *hints)
    return int(getattr(getattr(error.ctx, "command", None), "error_code", 1))


def os_error(error: OSError, console: Console) -> None:
    """A file that cannot be read or written."""
    where = f"{error.filename}: " if error.filename else ""
    console.error(f"{where}{os.strerror(error.errno) if error.errno else error}")
