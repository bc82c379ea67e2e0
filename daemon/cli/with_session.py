"""The decorator of commands that talk to the agent."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from daemon.cli import connect
from daemon.cli.framework import settings_of
from daemon.cli.session import Session

P = ParamSpec("P")
R = TypeVar("R")


def with_session(function: Callable[Concatenate[Session, P], R]) -> Callable[P, R]:
    """Open a session for the time of the command and pass it first."""

    @functools.wraps(function)
    def wrapper(*args: Any, **settings: Any) -> R:
        with connect.session(settings_of(click.get_current_context())) as session:
            return function(session, *args, **settings)

    return wrapper
