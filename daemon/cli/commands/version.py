"""`encamp version`."""

from __future__ import annotations

import platform
import sys

from daemon.cli.framework import command, json_option


@command("version", example="encamp version -json")
@json_option
def version(as_json: bool) -> None:
    """Print the version of encamp and of the Python that runs it."""
    from encamp import __version__

    if as_json:
        from daemon.model.base import to_json

        sys.stdout.write(
            to_json({"Version": __version__, "Python": platform.python_version()}, indent=2).decode() + "\n"
        )
        return
    sys.stdout.write(f"encamp v{__version__} (Python {platform.python_version()})\n")
