"""Entry of the `encamp` command: parse, run, and turn what went wrong into words and an exit code.

Theory: 0 success; 1 failure; `job plan` and `job run` have codes of their own (docs/manual/cli.md); 130 after Ctrl-C;
141
when the reader of stdout has gone away, without a word.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

OLDEST_PYTHON = (3, 11)
INTERRUPTED = 130
PIPE_CLOSED = 141


def main(args: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code (the console script exits with it)."""
    if sys.version_info < OLDEST_PYTHON:  # pragma: no cover
        sys.stderr.write("encamp needs Python 3.11 or newer; this is Python %d.%d\n" % sys.version_info[:2])  # noqa: UP031
        return 1
    from daemon.cli.console import PipeClosed

    try:
        code = _run(sys.argv[1:] if args is None else args)
        return _flush(code)
    except (BrokenPipeError, PipeClosed):
        _drop_stdout()
        return PIPE_CLOSED
    except KeyboardInterrupt:
        return _interrupted()


def _flush(code: int) -> int:
    """What is still in the buffer must get out, or the result is not there."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stderr.write(f"Error: cannot write the output: {os.strerror(error.errno or 0)}\n")
        _drop_stdout()
        return code or 1
    return code


def _run(args: Sequence[str]) -> int:
    import click

    from daemon.cli.complain import usage
    from daemon.cli.console import Console
    from daemon.cli.framework import LazyGroup

    top = LazyGroup("", help="encamp runs jobs on your machines, and says why when it does not.")
    try:
        result = top.main(list(args), prog_name="encamp", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        sys.stdout.write(f"{error.message}\n")
        return 0
    except click.UsageError as error:
        return usage(error, Console())
    except click.Abort:
        return _interrupted()
    except click.ClickException as error:
        Console().error(error.format_message())
        return 1
    return result if isinstance(result, int) and not isinstance(result, bool) else 0


def _interrupted() -> int:
    sys.stderr.write("\n")
    return INTERRUPTED


def _drop_stdout() -> None:
    """Keep the interpreter from complaining about the closed pipe when it exits."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        return


if __name__ == "__main__":
    sys.exit(main())
