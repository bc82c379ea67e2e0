"""The command line as a process: a real terminal for exec, Ctrl-C, closed pipes, and how long a query takes."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daemon.model.base import decode, encode
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.rpc.stream import Stream
from tests.cli.made import EVAL, make_eval, make_job, make_stub, running
from tests.cli.scripted import ScriptedAgent

COMMAND = [sys.executable, "-m", "daemon.cli.main"]
LIMIT_S = 30.0


class Terminal:
    """A command on a pseudo-terminal of 24x80."""

    def __init__(self, *args: str) -> None:
        self.master, slave = pty.openpty()
        self.resize(24, 80)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(
            [*COMMAND, *args],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=_own_terminal,
        )
        self.seen = b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, data: bytes) -> None:
        os.write(self.master, data)

    def wait_for(self, words: bytes) -> None:
        until = time.monotonic() + LIMIT_S
        while words not in self.seen:
            left = until - time.monotonic()
            assert left > 0, self.seen
            if select.select([self.master], [], [], left)[0]:
                self.seen += os.read(self.master, 65536)

    def end(self) -> int:
        try:
            code = self.process.wait(LIMIT_S)
            assert termios.tcgetattr(self.slave) == self.before, "the terminal was not restored"
            return code
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            with contextlib.suppress(OSError):
                os.close(self.master)
            os.close(self.slave)


def _own_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def serve_alloc(agent: ScriptedAgent) -> None:
    agent.on(methods.ALLOC_LIST, m.AllocListResponse(allocations=(running(),)))
    agent.on(methods.ALLOC_GET, m.AllocResponse(allocation=running(), job=make_job()))
    agent.on(methods.JOB_LIST, m.JobListResponse(jobs=(make_stub(),)))


def shell(notes: list[m.ExecInput]) -> Callable[[Any, Stream], Any]:
    """A pretended shell: echoes what it gets, ends with code 7 on Ctrl-D."""

    async def serve(request: Any, stream: Stream) -> None:
        assert request.tty
        await stream.send(encode(m.ExecOutput(stdout=b"$ ")))
        while (data := await stream.recv()) is not None:
            frame = decode(data, m.ExecInput)
            notes.append(frame)
            if frame.rows:
                await stream.send(encode(m.ExecOutput(stdout=b"[%dx%d]" % (frame.rows, frame.columns))))
            if b"\x04" in frame.stdin:
                await stream.send(encode(m.ExecOutput(exited=True, exit_code=7)))
                return
            if frame.stdin:
                await stream.send(encode(m.ExecOutput(stdout=b"<" + frame.stdin.hex().encode() + b">")))

    return serve


def test_a_session_with_a_terminal(agent: ScriptedAgent) -> None:
    serve_alloc(agent)
    notes: list[m.ExecInput] = []
    agent.on_stream(methods.ALLOC_EXEC, shell(notes))
    terminal = Terminal("alloc", "exec", "8a1f", "/bin/sh")
    terminal.wait_for(b"[24x80]")
    terminal.type(b"l")
    terminal.wait_for(b"<6c>")
    terminal.type(b"\x03")  # Ctrl-C is the command's, not ours
    terminal.wait_for(b"<03>")
    terminal.resize(50, 132)
    terminal.wait_for(b"[50x132]")
    terminal.type(b"\x04")
    assert terminal.end() == 7


def test_the_escape_leaves_a_session_that_hangs(agent: ScriptedAgent) -> None:
    serve_alloc(agent)

    async def hang(request: Any, stream: Stream) -> None:
        await stream.send(encode(m.ExecOutput(stdout=b"hello")))
        await asyncio.Event().wait()

    agent.on_stream(methods.ALLOC_EXEC, hang)
    terminal = Terminal("exec", "8a1f", "/bin/sh")
    terminal.wait_for(b"hello")
    terminal.type(b"~.")
    assert terminal.end() == 1


def test_sigterm_restores_the_terminal(agent: ScriptedAgent) -> None:
    serve_alloc(agent)
    agent.on_stream(methods.ALLOC_EXEC, shell([]))
    terminal = Terminal("exec", "8a1f", "/bin/sh")
    terminal.wait_for(b"[24x80]")
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.end() == 128 + signal.SIGTERM


def test_a_table_on_a_terminal_is_coloured(agent: ScriptedAgent) -> None:
    serve_alloc(agent)
    terminal = Terminal("status")
    terminal.wait_for(b"\x1b[32mrunning\x1b[0m")
    assert terminal.end() == 0


def test_stdin_is_passed_on_without_a_terminal(agent: ScriptedAgent) -> None:
    serve_alloc(agent)

    async def cat(request: Any, stream: Stream) -> None:
        assert not request.tty
        total = 0
        while (data := await stream.recv()) is not None:
            frame = decode(data, m.ExecInput)
            if frame.close:
                break
            total += len(frame.stdin)
            await stream.send(encode(m.ExecOutput(stdout=frame.stdin)))
        await stream.send(encode(m.ExecOutput(exited=True, exit_code=total % 256)))

    agent.on_stream(methods.ALLOC_EXEC, cat)
    data = os.urandom(300_000)
    done = subprocess.run([*COMMAND, "exec", "8a1f", "cat"], input=data, capture_output=True, timeout=LIMIT_S)
    assert done.stdout == data
    assert done.returncode == len(data) % 256, done.stderr


def test_ctrl_c_while_following_is_clean(agent: ScriptedAgent) -> None:
    serve_alloc(agent)

    async def forever(request: Any, stream: Stream) -> None:
        await stream.send(b"begun\n")
        await asyncio.Event().wait()

    agent.on_stream(methods.FS_LOGS, forever)
    process = subprocess.Popen(
        [*COMMAND, "logs", "-f", "8a1f"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == b"begun\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert out in (b"", b"begun\n")


def test_ctrl_c_leaves_the_job_submitted(agent: ScriptedAgent, tmp_path: Path) -> None:
    serve_alloc(agent)
    agent.on(methods.JOB_REGISTER, m.JobRegisterResponse(eval_id=EVAL))
    agent.on(methods.EVAL_GET, m.EvalResponse(evaluation=make_eval(status="pending")))
    file = tmp_path / "web.hcl"
    file.write_text(
        'job "web" {\n group "g" {\n task "t" {\n driver = "raw_exec"\n config { command = "/bin/true" }\n }\n }\n}\n'
    )
    process = subprocess.Popen([*COMMAND, "run", str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert b"Monitoring evaluation" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    assert b"stays submitted" in err and b"Traceback" not in err


def test_a_reader_that_leaves_is_no_error(agent: ScriptedAgent) -> None:
    serve_alloc(agent)

    async def endless(request: Any, stream: Stream) -> None:
        while True:
            await stream.send(b"line\n" * 1000)

    agent.on_stream(methods.FS_LOGS, endless)
    command = " ".join([*COMMAND, "logs", "8a1f"])
    script = f"set -o pipefail; {command} | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["/bin/bash", "-c", script], capture_output=True, timeout=LIMIT_S)
    assert (done.returncode, done.stdout, done.stderr) == (141, b"line\n", b"")


def test_output_to_a_full_device_is_an_error(agent: ScriptedAgent) -> None:
    serve_alloc(agent)
    with Path("/dev/full").open("wb") as full:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        done = subprocess.run(
            [*COMMAND, "status"], stdout=full, stderr=subprocess.PIPE, timeout=LIMIT_S, env=environment
        )
    assert done.returncode == 1
    assert b"No space left" in done.stderr and b"Traceback" not in done.stderr
