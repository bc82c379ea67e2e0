"""The adapter between the blocking Docker SDK and the driver's loop; the only module that imports the SDK.

Theory: short questions run in a bounded pool of threads; streams are sockets on the loop (stream.py). The
SDK is imported at the first question (it takes 120 ms). Every failure becomes EngineDown (nobody
answered: try again, nothing is known) or EngineError (the engine said no), in words for the person who
wrote the job.
"""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from plugins.docker_driver.stream import (
    CONNECT_TIMEOUT_S,
    Address,
    EngineDown,
    EngineError,
    EngineStream,
    open_stream,
    request_path,
    unreachable,
)

if TYPE_CHECKING:
    import docker

T = TypeVar("T")

THREADS: Final = 8
CALL_TIMEOUT_S: Final = 60
QUESTION_TIMEOUT_S: Final = 4.0
#: the API of Engine 23.0, which rewrote the reading of rotated log files.
FOLLOWS_API: Final = (1, 42)


def pauses(first_s: float = 0.1, most_s: float = 5.0) -> Iterator[float]:
    """Jittered, growing pauses between attempts, without end: the caller owns the deadline."""
    pause_s = first_s
    while True:
        yield pause_s * random.uniform(0.5, 1.0)
        pause_s = min(pause_s * 2, most_s)


class Engine:
    """One engine. Owned by the driver; `close` ends its threads."""

    def __init__(self, address: Address, *, call_timeout_s: int = CALL_TIMEOUT_S) -> None:
        self.address = address
        self.call_timeout_s = call_timeout_s
        self._client: docker.APIClient | None = None
        self._follows: bool | None = None
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="docker")
        self._lock = threading.Lock()
        self._is_closed = False

    async def call(self, question: Callable[[Any], T]) -> T:
        """Ask the engine through the SDK. Raises EngineDown or EngineError.

        Cost: one thread while it lasts. Cancelling leaves the thread to finish its question alone.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._ask, question)

    def _ask(self, question: Callable[[Any], T]) -> T:
        """Runs in a thread: one question, with failures translated."""
        import docker.errors
        import requests.exceptions

        self._check_listening()
        client: docker.APIClient | None = None
        try:
            client = self._connected()
            return question(client)
        except docker.errors.APIError as error:
            status = error.response.status_code if error.response is not None else 500
            raise EngineError(
                str(error.explanation or error).strip(), status=status, recoverable=status >= 500
            ) from error
        except requests.exceptions.Timeout as error:
            raise EngineDown(
                f"the Docker engine at {self.address.url} did not answer within {self.call_timeout_s} s"
            ) from error
        except (requests.exceptions.RequestException, docker.errors.DockerException, OSError) as error:
            self._forget()
            raise EngineDown(unreachable(self.address)) from error
        finally:
            if client is not None and client is not self._client:
                client.close()  # forgotten or closed meanwhile by another thread

    def _check_listening(self) -> None:
        """Knock before the SDK does: it leaks a socket for each connection that is refused."""
        if not self.address.socket_path:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
                knock.settimeout(CONNECT_TIMEOUT_S)
                knock.connect(self.address.socket_path)
        except OSError as error:
            self._forget()
            raise EngineDown(unreachable(self.address)) from error

    def _connected(self) -> docker.APIClient:
        """The client, made at first use and after the engine was away: another version may have come."""
        if self._client is not None:
            return self._client
        # asked outside of the lock: an engine that hangs must not hang `close` too
        made = self._new_client()
        with self._lock:
            if self._client is None and not self._is_closed:
                self._client = made
            found = self._client
        if found is not made:
            made.close()
        if found is None:
            raise EngineDown("the docker driver is closed")
        return found

    def _new_client(self) -> docker.APIClient:
        import docker

        tls: docker.TLSConfig | None = None
        if self.address.has_tls:
            pair = (self.address.cert, self.address.key) if self.address.cert else None
            tls = docker.TLSConfig(client_cert=pair, ca_cert=self.address.ca or None, verify=True)
        return docker.APIClient(
            base_url=self.address.url, version="auto", timeout=self.call_timeout_s, tls=tls or False
        )

    def _forget(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        self._follows = None
        if client is not None:
            client.close()

    def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        upgrade: bool = False,
        answer_timeout_s: float | None = 60.0,
    ) -> AbstractAsyncContextManager[EngineStream]:
        """Open a stream on the loop; see stream.open_stream."""
        return open_stream(
            self.address,
            method,
            request_path(path, query),
            headers=headers,
            body=body,
            upgrade=upgrade,
            answer_timeout_s=answer_timeout_s,
        )

    async def ask_json(self, path: str, timeout_s: float = QUESTION_TIMEOUT_S) -> dict[str, Any]:
        """A quick question without the SDK, for fingerprints. Raises EngineDown after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                async with self.stream("GET", path) as stream:
                    async for found in stream.json_lines():
                        return found
        except TimeoutError as error:
            raise EngineDown(
                f"the Docker engine at {self.address.url} did not answer within {timeout_s:g} s"
            ) from error
        return {}

    async def follows_rotation(self) -> bool:
        """Whether the engine's following log streams are exact while its log files rotate (since 23.0)."""
        if self._follows is None:
            version = await self.call(lambda client: str(client.version(api_version=False)["ApiVersion"]))
            major, _, minor = version.partition(".")
            self._follows = (int(major), int(minor or 0)) >= FOLLOWS_API
        return self._follows

    async def inspect(self, container: str) -> dict[str, Any]:
        """Everything the engine knows of a container. Raises EngineError 404."""
        found: dict[str, Any] = await self.call(lambda client: client.inspect_container(container))
        return found

    async def wait_stopped(self, container: str) -> None:
        """Wait until the container does not run. Raises EngineDown when the engine goes away meanwhile."""
        path = f"/containers/{container}/wait"
        async with self.stream("POST", path, answer_timeout_s=None) as stream:
            async for _ in stream.json_lines():
                return
        raise EngineDown("the Docker engine went away while a container was waited for")

    async def close(self) -> None:
        """Close connections and end the threads, without waiting for an engine that hangs."""
        self._is_closed = True
        self._forget()
        self._pool.shutdown(wait=False, cancel_futures=True)
        await asyncio.sleep(0)
