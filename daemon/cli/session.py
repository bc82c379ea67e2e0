"""One command's talk with the agent: the connection, the region and namespace in each request, ids by prefix.

Theory: commands get a `Session` and never build a connection; tests swap `daemon.cli.connect.connect`.
Every list is read page by page, so that a large cluster neither fills one message nor stops the server.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Protocol, TypeVar

from daemon.cli.console import Console
from daemon.cli.settings import Settings
from daemon.model.errors import Unavailable
from daemon.rpc.methods import Method

Q = TypeVar("Q")
A = TypeVar("A")
PAGE = 1000
CALL_S = 15.0
#: how long a busy leader is asked again, at the moments that it names.
BUSY_S = 60.0


class StreamPort(Protocol):
    """What commands use of `daemon.rpc.blocking.Stream`."""

    def __enter__(self) -> StreamPort: ...
    def __exit__(self, *about: Any) -> None: ...
    def send(self, data: bytes) -> None:
        """Send one frame."""
        ...

    def recv(self, timeout_s: float | None = None) -> bytes | None:
        """The next frame; None at the end. Raises TimeoutError."""
        ...

    def poll(self, fds: list[int], timeout_s: float | None = None) -> tuple[bool, list[int]]:
        """(whether the stream has something, descriptors that can be read)."""
        ...


class ConnectionPort(Protocol):
    """What commands use of `daemon.rpc.blocking.Connection`."""

    def call(self, method: Method[Q, A], request: Q, *, timeout_s: float = 10.0) -> A:
        """Call a unary method."""
        ...

    def stream(self, method: Method[Q, Any], request: Q) -> StreamPort:
        """Open a stream."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class Session:
    """A connection with the settings of the call."""

    def __init__(self, connection: ConnectionPort, settings: Settings, console: Console) -> None:
        self._connection = connection
        self.settings = settings
        self.console = console

    @property
    def namespace(self) -> str:
        """The namespace of single objects; "" is the default one."""
        return "" if self.settings.namespace == "*" else self.settings.namespace

    def call(self, method: Method[Q, A], *, timeout_s: float = CALL_S, **fields: Any) -> A:
        """Call a method; region and namespace are filled in. "Busy" is waited out, BUSY_S at most.

        Raises: EncampError as the agent reported it; Unavailable, DeadlineExceeded.
        """
        request = self._request(method, fields)
        until = time.monotonic() + BUSY_S
        while True:
            try:
                with self.console.patience(f"the agent to answer {method.name}"):
                    return self._connection.call(method, request, timeout_s=timeout_s)
            except Unavailable as error:
                # refused at the door: nothing was written, so that asking again does no harm
                after_s = error.details.get("retry_after_s") if error.details.get("busy") else None
                if not isinstance(after_s, int | float) or time.monotonic() + after_s > until:
                    raise
                self.console.note(f"{error.message}; waiting for it")
                time.sleep(after_s)

    def stream(self, method: Method[Any, Any], **fields: Any) -> StreamPort:
        """Open a stream; use it as a context manager."""
        return self._connection.stream(method, self._request(method, fields))

    def pages(self, method: Method[Any, A], **fields: Any) -> Iterator[A]:
        """All pages of a list."""
        fields.setdefault("namespace", self.settings.namespace)
        token = ""
        while True:
            answer = self.call(method, per_page=PAGE, next_token=token, **fields)
            yield answer
            before, token = token, getattr(answer, "next_token", "")
            if not token or token == before:
                return

    def _request(self, method: Method[Any, Any], fields: dict[str, Any]) -> Any:
        fields.setdefault("namespace", self.namespace)
        return method.request(region=self.settings.region, **fields)
