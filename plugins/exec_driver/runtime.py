"""The OCI runtime on this machine: which one, how it is called, what it said when it failed."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from plugins.driver import DriverError

_RUNTIMES = ("runc", "crun")
_CALL_S = 30.0


class Runtime(NamedTuple):
    """A runtime: its program and the directory of its state, which belongs to this agent alone."""

    program: str
    state_dir: Path

    @property
    def name(self) -> str:
        """runc or crun."""
        return os.path.basename(self.program)

    def command(self, bundle: Path, *words: str) -> list[str]:
        """Return argv of a call whose complaints go to the bundle's log."""
        log = ["--log", str(bundle / "runtime.log"), "--log-format", "json"]
        return [self.program, "--root", str(self.state_dir), *log, *words]


def find_program() -> str:
    """Return the path of a runtime; empty: there is none."""
    for name in _RUNTIMES:
        # daemons often run without sbin in their search path
        found = shutil.which(name) or shutil.which(
            name, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
        )
        if found:
            return found
    return ""


async def call(argv: list[str], timeout_s: float = _CALL_S) -> tuple[int, str]:
    """Run a short command.

    Returns (status, all its output). Raises: DriverError when it does not end in time.
    """
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
    )
    try:
        async with asyncio.timeout(timeout_s):
            output, _ = await process.communicate()
    except BaseException as error:
        if process.returncode is None:
            process.kill()
            await process.wait()
        if isinstance(error, TimeoutError):
            raise DriverError(f"{argv[0]} did not end within {timeout_s:g} s", recoverable=True) from None
        raise
    return process.returncode or 0, output.decode(errors="replace")


async def version(program: str) -> str:
    """Return what the runtime calls itself, such as `runc 1.1.5`; empty when it does not run."""
    status, output = await call([program, "--version"], 5.0)
    if status != 0 or not output:
        return ""
    words = output.splitlines()[0].split()
    return f"{words[0]} {words[-1]}"


def complaint(bundle: Path) -> str:
    """Return the last error in a bundle's runtime log, in the runtime's words."""
    found = ""
    try:
        lines = (bundle / "runtime.log").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry.get("level") in ("error", "fatal") or not found:
            found = str(entry.get("msg", ""))
    return found.strip()
