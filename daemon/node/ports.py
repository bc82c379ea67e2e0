"""The ports of the node agent: what it needs from whoever composes the process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from daemon.rpc.methods import Method

Q = TypeVar("Q")
A = TypeVar("A")


class ServerPort(Protocol):
    """The way to the servers."""

    async def call(self, method: Method[Q, A], request: Q, *, timeout_s: float) -> A:
        """Call and wait for the answer.

        Raises: the EncampError that the server answers with; Unavailable or DeadlineExceeded when none answers.
        """
        ...


class ServerStream(Protocol):
    """The node's side of a stream, as daemon.rpc.stream.Stream is."""

    async def send(self, data: bytes) -> None:
        """Send one frame; waits for credit. Raises when the caller has gone."""
        ...

    async def recv(self) -> bytes | None:
        """The caller's next frame; None: it sends no more. Raises when the caller has gone."""
        ...


UnaryHandler = Callable[[Any], Awaitable[Any]]
StreamHandler = Callable[[Any, ServerStream], Awaitable[Any]]
