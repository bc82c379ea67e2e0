"""One command's talk with the agent: the connection, the region and namespace in each request, ids by prefix.

Theory: commands get a `Session` and never build a connection; tests swap `daemon.cli.connect.connect`.
Every list is read page by page, so that a large cluster neither fills one message nor stops the server.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, TypeVar

from daemon.cli.console import Console
from daemon.cli.settings import Settings
from daemon.rpc.methods import Method

Q = TypeVar("Q")
A = TypeVar("A")
PAGE = 1000
CALL_S = 15.0


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
        """Call a method; region and namespace are filled in.

        Raises: EncampError as the agent reported it; Unavailable, DeadlineExceeded.
        """
        with self.console.patience(f"the agent to answer {method.name}"):
            return self._connection.call(method, self._request(method, fields), timeout_s=timeout_s)

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
