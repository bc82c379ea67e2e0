"""`encamp alloc exec`: a command inside a task, with the terminal where there is one.

Theory: with a terminal it is set to raw, so that every key goes to the command, Ctrl-C included; its size follows; it
is restored however the session ends. `~.` at the beginning of a line leaves a session that hangs.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import click

from daemon.cli import alloc_choice, complete
from daemon.cli.console import write_raw
from daemon.cli.framework import command, option
from daemon.cli.session import Session, StreamPort
from daemon.cli.tail import Escape
from daemon.cli.with_session import with_session
from daemon.model.base import decode, encode
from daemon.model.errors import InvalidInput, PeerFault
from daemon.rpc.messages import ExecInput, ExecOutput
from daemon.rpc.methods import ALLOC_EXEC

CHUNK = 16 * 1024
TICK_S = 1.0


@command(
    "exec",
    example="encamp alloc exec 8a1f /bin/sh\nencamp exec -job web -task server ls -l /alloc",
    context_settings={"allow_interspersed_args": False},
)
@click.argument("words", nargs=-1, metavar="ALLOC COMMAND [ARGS]...", shell_complete=complete.allocs)
@option("-i/-no-i", "interactive", default=True, help="Pass standard input on; the default.")
@option(
    "-t/-no-t",
    "tty",
    default=None,
    help="Give it a terminal; the default when there is one here.",
)
@option("-task", "task", default="", help="Which task, where there are several.")
@option(
    "-job",
    "job",
    default="",
    metavar="JOB",
    help="Take a running allocation of this job.",
    shell_complete=complete.jobs,
)
@option("-group", "group", default="", help="With -job: of this group.")
@option(
    "-e",
    "escape",
    default="~",
    metavar="CHAR",
    help="Escape character, `none` for none; ~. leaves the session.",
)
@with_session
def exec_(
    session: Session,
    words: tuple[str, ...],
    interactive: bool,
    tty: bool | None,
    task: str,
    job: str,
    group: str,
    escape: str,
) -> int:
    """Run a command inside a running task. Exits with the command's own exit code.

    Options go before ALLOC; what follows belongs to the command.
    """
    typed, argv = (job, words) if job else (words[0] if words else "", words[1:])
    if not argv:
        raise InvalidInput("give the command to run, as in `encamp alloc exec 8a1f /bin/sh`")
    chosen, spec = alloc_choice.choose(session, typed, job=bool(job), group=group, task=task)
    name = alloc_choice.choose_task(chosen, spec, task)
    here = sys.stdin.isatty() and sys.stdout.isatty()
    if tty and not here:
        session.console.warn("there is no terminal here; going on without one")
    terminal = here and interactive and tty is not False
    char = b"" if escape == "none" else escape.encode()[:1]
    request = {"id": chosen.id, "namespace": chosen.namespace, "task": name, "command": argv, "tty": terminal}
    with session.stream(ALLOC_EXEC, **request) as stream:
        return _Run(stream, terminal, interactive, char).run()


class _Run:
    """One running command: stdin to the stream, the stream to stdout and stderr."""

    def __init__(self, stream: StreamPort, terminal: bool, interactive: bool, escape: bytes) -> None:
        self._stream = stream
        self._terminal = terminal
        self._escape = Escape(escape if terminal else b"")
        self._stdin: int | None = sys.stdin.fileno() if interactive else None

    def run(self) -> int:
        """The command's exit code."""
        with ExitStack() as stack:
            resized = -1
            if self._terminal:
                assert self._stdin is not None
                stack.enter_context(_raw(self._stdin))
                resized = stack.enter_context(_resizes())
                self._send_size()
            elif self._stdin is None:
                self._send(ExecInput(close=True))
            while True:
                fds = [fd for fd in (self._stdin, resized) if fd is not None and fd >= 0]
                ready, readable = self._stream.poll(fds, TICK_S)
                if resized in readable:
                    os.read(resized, CHUNK)
                    self._send_size()
                if ready and (code := self._output()) is not None:
                    return code
                if self._stdin in readable and not self._input():
                    return 1

    def _output(self) -> int | None:
        """Show what has come; the exit code once the command is over."""
        while True:
            try:
                data = self._stream.recv(0)
            except TimeoutError:
                return None
            if data is None:
                raise PeerFault("the node ended the session without an exit code")
            frame = decode(data, ExecOutput)
            if frame.stdout:
                write_raw(sys.stdout, frame.stdout)
            if frame.stderr:
                write_raw(sys.stderr, frame.stderr)
            if frame.error:
                sys.stderr.write(f"Error: {frame.error}\n")
            if frame.exited:
                return frame.exit_code or (1 if frame.error else 0)

    def _input(self) -> bool:
        """Send what was typed. False: the person wants to leave."""
        assert self._stdin is not None
        data = os.read(self._stdin, CHUNK)
        if not data:
            self._stdin = None
            self._send(ExecInput(close=True))
            return True
        sent, leave = self._escape.feed(data)
        if sent:
            self._send(ExecInput(stdin=sent))
        return not leave

    def _send(self, frame: ExecInput) -> None:
        self._stream.send(encode(frame))

    def _send_size(self) -> None:
        size = os.get_terminal_size(sys.stdout.fileno())
        self._send(ExecInput(rows=size.lines, columns=size.columns))


@contextmanager
def _raw(fd: int) -> Iterator[None]:
    """The terminal in raw mode, restored afterwards, also on SIGTERM and SIGHUP."""
    import termios
    import tty

    before = termios.tcgetattr(fd)

    def leave(number: int, _: Any) -> None:
        raise SystemExit(128 + number)

    handlers = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        tty.setraw(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def _resizes() -> Iterator[int]:
    """A descriptor that becomes readable when the terminal changes its size."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def wake(*_: Any) -> None:
        try:
            os.write(writer, b"r")
        except BlockingIOError:
            return

    before = signal.signal(signal.SIGWINCH, wake)
    try:
        yield reader
    finally:
        signal.signal(signal.SIGWINCH, before)
        os.close(reader)
        os.close(writer)
