"""A scripted agent: the real listener on loopback, answering from a table that the test fills."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from daemon.model.errors import NotFound
from daemon.rpc.address import Address
from daemon.rpc.dispatch import Caller, Dispatcher
from daemon.rpc.listener import Listener
from daemon.rpc.methods import METHODS, Method
from daemon.rpc.stream import Stream

Answer = Callable[[Any], Any]
StreamAnswer = Callable[[Any, Stream], Awaitable[None]]


class ScriptedAgent:
    """Runs in a thread of its own. `on` takes a value, or a function of the request; calls are noted."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.address = ""
        self._answers: dict[str, Answer] = {}
        self._streams: dict[str, StreamAnswer] = {}
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scripted agent", daemon=True)

    def on(self, method: Method[Any, Any], answer: Any) -> None:
        self._answers[method.name] = answer if callable(answer) else lambda _: answer

    def on_stream(self, method: Method[Any, Any], answer: StreamAnswer) -> None:
        self._streams[method.name] = answer

    def called(self, method: Method[Any, Any]) -> list[Any]:
        return [request for name, request in self.calls if name == method.name]

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(10)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        dispatcher = Dispatcher()
        for method in METHODS.values():
            if method.stream:
                dispatcher.serve_stream(method, self._stream_of(method.name))
            else:
                dispatcher.serve(method, self._unary_of(method.name))
        listener = Listener(dispatcher)
        self.address = await listener.start(Address("tcp", "127.0.0.1:0"))
        self._ready.set()
        await self._stop.wait()
        await listener.close()

    def _unary_of(self, name: str) -> Callable[[Any, Caller], Awaitable[Any]]:
        async def handle(request: Any, caller: Caller) -> Any:
            self.calls.append((name, request))
            answer = self._answers.get(name)
            if answer is None:
                raise NotFound(f"{name} is not scripted")
            return answer(request)

        return handle

    def _stream_of(self, name: str) -> Callable[[Any, Stream, Caller], Awaitable[None]]:
        async def handle(request: Any, stream: Stream, caller: Caller) -> None:
            self.calls.append((name, request))
            answer = self._streams.get(name)
            if answer is None:
                raise NotFound(f"{name} is not scripted")
            await answer(request, stream)

        return handle
