"""The methods that a node answers: `target="node"` in daemon.rpc.methods.

An allocation is named by its id or a unique prefix of it. Errors are those of daemon.model.errors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from daemon.model.errors import InvalidInput, NotFound, PermissionDenied
from daemon.node.disk.contain import list_directory, stat_path
from daemon.node.ports import ServerStream, StreamHandler, UnaryHandler
from daemon.node.runner.alloc_runner import AllocRunner
from daemon.node.serve.command import run_command
from daemon.node.serve.files import stream_file
from daemon.node.serve.logs import LogReader, stream_logs
from daemon.node.serve.stats import host_usage, task_usage
from daemon.rpc import messages as m
from daemon.rpc import methods

Handler = UnaryHandler | StreamHandler


class NodeEndpoints:
    """Handlers by method name. Unary ones take (request), streams take (request, stream)."""

    def __init__(
        self,
        runners: Mapping[str, AllocRunner],
        *,
        data_dir: Path,
        core_mhz: Callable[[], int],
        exec_disabled: bool = False,
    ) -> None:
        self._runners = runners
        self._data_dir = data_dir
        self._core_mhz = core_mhz
        self._exec_disabled = exec_disabled
        self.handlers: dict[str, Callable[..., Any]] = {
            methods.ALLOC_RESTART.name: self.restart,
            methods.ALLOC_SIGNAL.name: self.signal,
            methods.ALLOC_STATS.name: self.alloc_stats,
            methods.ALLOC_EXEC.name: self.exec,
            methods.FS_LIST.name: self.list,
            methods.FS_STAT.name: self.stat,
            methods.FS_STREAM.name: self.stream,
            methods.FS_LOGS.name: self.logs,
            methods.NODE_STATS.name: self.host_stats,
        }

    def _runner(self, alloc_id: str) -> AllocRunner:
        """Raises NotFound, InvalidInput."""
        runner = self._runners.get(alloc_id)
        if runner is not None:
            return runner
        found = [one for id_, one in self._runners.items() if len(alloc_id) >= 2 and id_.startswith(alloc_id)]
        if len(found) > 1:
            ids = ", ".join(one.alloc_id for one in found[:5])
            raise InvalidInput(f"allocation prefix {alloc_id!r} is not unique: {ids}")
        if not found:
            raise NotFound(
                f"this node holds no allocation {alloc_id!r} (any more); its files may have been collected",
                alloc_id=alloc_id,
            )
        return found[0]

    async def restart(self, request: m.AllocRestartRequest) -> m.Empty:
        """Allocations.Restart."""
        runner = self._runner(request.id)
        runner.restart(request.task, all_tasks=request.all_tasks, reason="A user asked for a restart")
        return m.Empty()

    async def signal(self, request: m.AllocSignalRequest) -> m.Empty:
        """Allocations.Signal."""
        name = request.signal.upper()
        name = name if name.startswith("SIG") else f"SIG{name}"
        await self._runner(request.id).signal(request.task, name, "A user sent it")
        return m.Empty()

    async def alloc_stats(self, request: m.IdQuery) -> m.AllocStatsResponse:
        """Allocations.Stats."""
        return m.AllocStatsResponse(tasks=await task_usage(self._runner(request.id), self._core_mhz()))

    async def host_stats(self, _request: m.IdQuery) -> m.HostStatsResponse:
        """ClientStats.Stats."""
        return await host_usage(self._data_dir)

    async def list(self, request: m.FsRequest) -> m.FsListResponse:
        """FileSystem.List."""
        root = self._runner(request.id).layout.root
        return m.FsListResponse(files=tuple(await asyncio.to_thread(list_directory, root, request.path)))

    async def stat(self, request: m.FsRequest) -> m.FsListResponse:
        """FileSystem.Stat."""
        root = self._runner(request.id).layout.root
        return m.FsListResponse(files=(await asyncio.to_thread(stat_path, root, request.path),))

    async def stream(self, request: m.FsRequest, stream: ServerStream) -> m.Empty:
        """FileSystem.Stream: frames of raw bytes."""
        runner = self._runner(request.id)
        await stream_file(
            runner.layout.root,
            request.path,
            stream,
            offset=request.offset,
            origin=request.origin,
            limit=request.limit,
            follow=request.follow,
            ended=runner.done.is_set,
        )
        return m.Empty()

    async def logs(self, request: m.LogsRequest, stream: ServerStream) -> m.Empty:
        """FileSystem.Logs: frames of raw bytes."""
        runner = self._runner(request.id)
        core = runner.core.tasks.get(request.task)
        if core is None:
            known = ", ".join(sorted(runner.core.tasks))
            raise NotFound(f"allocation {runner.alloc_id} has no task {request.task!r} (it has: {known})")
        if not core.record.state.started_at_ns and not request.follow:
            raise NotFound(f"task {request.task!r} has not started yet; it has no log")
        await stream_logs(
            LogReader(runner.layout.root, request.task, request.type),
            stream,
            offset=request.offset,
            origin=request.origin,
            follow=request.follow,
            ended=runner.done.is_set,
        )
        return m.Empty()

    async def exec(self, request: m.ExecRequest, stream: ServerStream) -> m.Empty:
        """Allocations.Exec: ExecInput frames in, ExecOutput frames out."""
        if self._exec_disabled:
            raise PermissionDenied("commands in tasks are off on this node (client.disable_remote_exec)")
        if not request.command:
            raise InvalidInput("exec needs a command")
        runner = self._runner(request.id)
        names = sorted(runner.core.tasks)
        if not request.task and len(names) > 1:
            raise InvalidInput(
                f"allocation {runner.alloc_id} has several tasks, name one: {', '.join(names)}"
            )
        hand, id_ = runner.running(request.task or names[0])
        await run_command(hand.driver(), id_, [*request.command], tty=request.tty, stream=stream)
        return m.Empty()
