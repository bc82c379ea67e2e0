"""Find the program that a job file's `command` means, and the signal that a name means."""

from __future__ import annotations

import os
import signal
import stat

from plugins.driver import DriverError

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _is_program(path: str) -> bool:
    try:
        info = os.stat(path)
    except OSError:
        return False
    return stat.S_ISREG(info.st_mode) and bool(info.st_mode & 0o111)


def find_program(command: str, task_dir: str, path: str) -> str:
    """Return the absolute path of a command on the host.

    Absolute paths stand as they are; others are looked for in the task's `local` directory, the task
    directory and the search path. Raises: DriverError that says where was looked.
    """
    if os.path.isabs(command):
        if _is_program(command):
            return command
        why = "it is not an executable file" if os.path.exists(command) else "there is no such file"
        raise DriverError(f"command not found: {command!r}: {why}")
    places = [os.path.join(task_dir, "local"), task_dir]
    if "/" not in command:
        places += [place for place in path.split(":") if place]
    for place in places:
        candidate = os.path.join(place, command)
        if _is_program(candidate):
            return candidate
    raise DriverError(f"command not found: looked for an executable {command!r} in {', '.join(places)}")


def signal_number(name: str) -> int:
    """Return the number of a signal named `SIGHUP` or `HUP`. Raises: DriverError naming it."""
    full = name.upper() if name.upper().startswith("SIG") else f"SIG{name.upper()}"
    try:
        return signal.Signals[full].value
    except KeyError:
        raise DriverError(f"unknown signal {name!r} (expected a name such as SIGTERM)") from None
