"""The mock_driver: does what its task's script says, without any process.

Theory: a task is its script and the wall-clock moment when it started, both in its handle, so a new driver
object can take it back: it goes on where the clock says it would be, also when nobody was there. What is lost
with the agent is what was not in the handle: a stop that had begun. Output goes to the log files that a real
driver would write. For tests, dev mode and the simulation, which may replace `now_ns`; undetected elsewhere.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Literal

import msgspec

from plugins import configblock
from plugins.driver import (
    Capabilities,
    ConfigError,
    Driver,
    DriverContext,
    DriverError,
    ExecIO,
    ExitResult,
    Fingerprint,
    LogConfig,
    TaskConfig,
    TaskHandle,
    TaskNotFound,
    TaskStats,
)
from plugins.logs.rotate import RotatingFile
from plugins.mock_driver.config import ExecCommand, MockConfig, seconds
from plugins.supervisor.commands import signal_number


class _Mock:
    """One scripted task: its script, and what has been done to it."""

    def __init__(self, handle: TaskHandle, script: MockConfig) -> None:
        self.handle = handle
        self.script = script
        self.over: asyncio.Future[ExitResult] = asyncio.get_running_loop().create_future()
        #: the aio_tasks that run the script; owned by the driver.
        self.running: list[asyncio.Task[None]] = []
        self.signals: list[str] = []

    def finish(self, result: ExitResult) -> None:
        """End the task; the first end counts."""
        if not self.over.done():
            self.over.set_result(result)
        current = asyncio.current_task()
        for aio_task in self.running:
            if aio_task is not current:
                aio_task.cancel()


class MockDriver(Driver):
    """Scripted tasks."""

    name = "mock_driver"
    capabilities = Capabilities(network_modes=("host", "none"))
    task_config = MockConfig

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        self._tasks: dict[str, _Mock] = {}
        self.now_ns = time.time_ns

    async def fingerprint(self) -> Fingerprint:
        """Healthy in dev mode only."""
        if self.context.dev:
            return Fingerprint(attributes={"driver.mock_driver": "1"})
        return Fingerprint(
            health="undetected",
            attributes={"driver.mock_driver": ""},
            description="only in dev mode (`agent -dev`) and in tests",
        )

    def _known(self, task_id: str) -> _Mock:
        try:
            return self._tasks[task_id]
        except KeyError:
            raise TaskNotFound(f"driver {self.name!r} knows no task {task_id!r}") from None

    async def start(self, task: TaskConfig) -> TaskHandle:
        """Do what the script says about starting."""
        if task.id in self._tasks:
            return self._tasks[task.id].handle
        try:
            script = configblock.decode(MockConfig, task.config)
        except ConfigError as error:
            raise DriverError(f"task config: {error}") from error
        await asyncio.sleep(seconds(script.start_block_for))
        if script.start_error:
            raise DriverError(script.start_error, recoverable=script.start_error_recoverable)
        state = {
            "script": msgspec.to_builtins(script),
            "started_at": self.now_ns(),
            "task": task.task,
            "logs": msgspec.to_builtins(task.logs),
        }
        handle = TaskHandle(driver=self.name, task_id=task.id, state=state)
        self._run(handle, script, 0.0)
        return handle

    async def recover(self, handle: TaskHandle) -> None:
        """Go on where the clock says; a handle that is not ours is a task that is gone."""
        if handle.task_id in self._tasks:
            return
        try:
            script = msgspec.convert(handle.state["script"], MockConfig)
            elapsed_s = max(0.0, (self.now_ns() - int(handle.state["started_at"])) / 1e9)
        except (KeyError, TypeError, msgspec.ValidationError):
            raise TaskNotFound(
                f"driver {self.name!r} cannot read the handle of task {handle.task_id!r}"
            ) from None
        self._run(handle, script, elapsed_s)

    def _run(self, handle: TaskHandle, script: MockConfig, elapsed_s: float) -> None:
        mock = self._tasks[handle.task_id] = _Mock(handle, script)
        name = f"mock {handle.task_id}"
        mock.running.append(asyncio.create_task(self._live(mock, elapsed_s), name=name))
        if elapsed_s == 0:
            for stream in ("stdout", "stderr"):
                if getattr(script, f"{stream}_string"):
                    writer = self._write(mock, stream)
                    mock.running.append(asyncio.create_task(writer, name=f"{name} {stream}"))

    async def _live(self, mock: _Mock, elapsed_s: float) -> None:
        script = mock.script
        await asyncio.sleep(max(0.0, seconds(script.run_for) - elapsed_s))
        # what the script prints at once is printed before the task ends
        await asyncio.sleep(0)
        mock.finish(
            ExitResult(exit_code=script.exit_code, signal=script.exit_signal, error=script.exit_err_msg)
        )

    async def _write(self, mock: _Mock, stream: str) -> None:
        logs = msgspec.convert(mock.handle.state["logs"], LogConfig)
        if logs.disabled:
            return
        text: str = getattr(mock.script, f"{stream}_string")
        repeat: int = getattr(mock.script, f"{stream}_repeat")
        pause_s = seconds(getattr(mock.script, f"{stream}_repeat_duration"))
        file = RotatingFile(
            logs.dir,
            f"{mock.handle.state['task']}.{stream}",
            files_max=logs.max_files,
            file_max_bytes=logs.max_file_size_mb * 1024 * 1024,
        )
        try:
            file.write(text.encode())
            for _ in range(repeat):
                await asyncio.sleep(pause_s)
                file.write(text.encode())
        finally:
            file.close()

    async def wait(self, task_id: str) -> ExitResult:
        """Wait for the end of the script."""
        return await asyncio.shield(self._known(task_id).over)

    async def stop(self, task_id: str, signal: str, timeout_s: float) -> None:
        """End the task after `kill_after`, or by force after the timeout."""
        number = signal_number(signal or "SIGTERM")
        mock = self._tasks.get(task_id)
        if mock is None or mock.over.done():
            return
        mock.signals.append(signal)
        patience_s = seconds(mock.script.kill_after)
        await asyncio.wait([mock.over], timeout=min(patience_s, timeout_s))
        # 9: it had to be killed
        mock.finish(ExitResult(signal=number if patience_s <= timeout_s else 9))

    async def destroy(self, task_id: str) -> None:
        """Forget the task."""
        mock = self._tasks.pop(task_id, None)
        if mock is not None:
            mock.finish(ExitResult(signal=9))
            await self._settle(mock)

    @staticmethod
    async def _settle(mock: _Mock) -> None:
        for aio_task in mock.running:
            aio_task.cancel()
        await asyncio.gather(*mock.running, return_exceptions=True)

    async def signal(self, task_id: str, signal: str) -> None:
        """Note the signal, or fail as scripted."""
        signal_number(signal)
        mock = self._known(task_id)
        if mock.script.signal_error:
            raise DriverError(mock.script.signal_error)
        mock.signals.append(signal)

    async def stats(self, task_id: str) -> TaskStats:
        """Return a little, always the same."""
        self._known(task_id)
        return TaskStats(timestamp_ns=self.now_ns(), cpu_percent=1.0, memory_rss_bytes=1024 * 1024, pids=1)

    async def exec(
        self, task_id: str, argv: list[str], *, tty: bool, io: ExecIO, env: dict[str, str] | None = None
    ) -> ExitResult:
        """Do what `exec_command` says; without one, fail in words."""
        mock = self._known(task_id)
        script = mock.script.exec_command
        if script is None:
            raise DriverError(f"the script of task {task_id!r} has no exec_command")
        await asyncio.sleep(seconds(script.run_for))
        if script.stdout_string or script.stderr_string:
            await self._print(script, "stdout", io)
            await self._print(script, "stderr", io)
        else:
            async for data in io.stdin():
                await io.output("stdout", data)
        return ExitResult(exit_code=script.exit_code, signal=script.exit_signal, error=script.exit_err_msg)

    @staticmethod
    async def _print(script: ExecCommand, stream: Literal["stdout", "stderr"], io: ExecIO) -> None:
        text: str = getattr(script, f"{stream}_string")
        for turn in range(1 + getattr(script, f"{stream}_repeat")):
            if turn:
                await asyncio.sleep(seconds(getattr(script, f"{stream}_repeat_duration")))
            if text:
                await io.output(stream, text.encode())

    async def close(self) -> None:
        """Stop running scripts here; handles can be taken back by another driver object."""
        tasks: list[Any] = list(self._tasks.values())
        self._tasks.clear()
        for mock in tasks:
            await self._settle(mock)
