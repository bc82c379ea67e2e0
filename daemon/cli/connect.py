"""Where commands get their connection: the one place that tests swap."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from daemon.cli.console import Console
from daemon.cli.session import ConnectionPort, Session
from daemon.cli.settings import Settings


def _blocking(address: str) -> ConnectionPort:
    from daemon.rpc.blocking import Connection

    connection: ConnectionPort = Connection.open(address or None)
    return connection


#: `-address` or "" -> an open connection. Raises Unavailable when no agent answers.
connect: Callable[[str], ConnectionPort] = _blocking


@contextmanager
def session(settings: Settings, console: Console | None = None) -> Iterator[Session]:
    """Connect to the agent for the time of one command."""
    settings.merge_environment(os.environ)
    console = console or Console(settings.color)
    with console.patience("the agent to accept the connection"):
        connection = connect(settings.address)
    try:
        yield Session(connection, settings, console)
    finally:
        connection.close()
