"""One task in the supervisor: from its specification to its exit status.

Theory, the states: `starting` (record written, process waits) -> `launching` (only with a launcher such as
`runc run --detach`, which leaves the real process behind and ends) -> `running` -> `ending` (the main process
is dead, what it left is being killed) -> `exited` (status on disk, kept until `destroy`). `lost` is a task
that a new supervisor found dead; whoever reaped it, an agent, may still report its status.

The main process is looked at without reaping (WNOWAIT) and reaped only after its leftovers are dead: see
`kill`. Record first, then effect, so a crash between any two lines is found again by `adopt`.
"""

from __future__ import annotations

import os
import signal
import time

from plugins.cgroups import group
from plugins.logs.limit import Bucket
from plugins.supervisor import spawn
from plugins.supervisor.kernel import boot_id, open_process, read_stat, send_signal
from plugins.supervisor.kill import MARKER, Killer
from plugins.supervisor.loop import Loop, Timer, log
from plugins.supervisor.protocol import UNKNOWN_EXIT
from plugins.supervisor.pump import Pump, enlarge, open_log
from plugins.supervisor.records import STREAMS, Records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from plugins.cgroups.layout import Layout

#: how long an agent that reaped a task may take to report its status.
REPORT_S = 10.0


class StartError(Exception):
    """A start that failed. `kind` and `details` go to the client."""

    def __init__(self, kind: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.kind = kind
        self.details = details


def exit_of(code: int, status: int) -> dict[str, Any]:
    """Return an exit status as sent to clients, from waitid's si_code and si_status."""
    if code == os.CLD_EXITED:
        return {"exit_code": status, "signal": 0, "oom_killed": False, "error": ""}
    return {"exit_code": 0, "signal": status, "oom_killed": False, "error": ""}


def unknown_exit() -> dict[str, Any]:
    """Return the status of a task whose end nobody saw."""
    return {"exit_code": 0, "signal": 0, "oom_killed": False, "error": UNKNOWN_EXIT}


class Task:
    """One task. Made by the server; calls `on_change(task, what)` when it has news.

    `what` is started, failed, abandoned, lost, exited or drained.
    """

    def __init__(
        self, loop: Loop, records: Records, record: dict[str, Any], on_change: Callable[[Task, str], None]
    ):
        self.loop = loop
        self.records = records
        self.record = record
        self.on_change = on_change
        self.id: str = record["id"]
        self.key: str = record["key"]
        self.spec: dict[str, Any] = record["spec"]
        self.layout: Layout | None = self.spec.get("cgroup")
        self.pumps: list[Pump] = []
        self.pidfd = -1
        self.error: StartError | None = None
        self.report_timer: Timer | None = None
        self._child: spawn.Child | None = None
        self._killer: Killer | None = None
        self._launch_timer: Timer | None = None

    @property
    def state(self) -> str:
        """The state, as written in the record."""
        return str(self.record["state"])

    @property
    def main(self) -> tuple[int, int]:
        """(pid, start time) of the main process, or of the launcher while that runs; (0, 0) before."""
        return self.record.get("pid", 0), self.record.get("start", 0)

    @property
    def held(self) -> tuple[int, int]:
        """`main` while a pidfd keeps its number from being reused; (0, start time) otherwise."""
        pid, start = self.main
        return (pid if self.pidfd >= 0 else 0), start

    @property
    def marker(self) -> str:
        """Value of the variable by which the task's processes are known where there is no cgroup."""
        return self.records.path(self.key)

    @property
    def is_over(self) -> bool:
        """True when the exit status is known (or known to be unknown)."""
        return self.state == "exited"

    @property
    def is_drained(self) -> bool:
        """True when all output is in the logs."""
        return not any(pump.is_open for pump in self.pumps)

    def info(self) -> dict[str, Any]:
        """Return what clients see."""
        pid, start = self.main
        return {
            "id": self.id,
            "key": self.key,
            "state": self.state,
            "pid": pid,
            "start": start,
            "drained": self.is_drained,
            "exit": self.record.get("exit"),
        }

    def save(self, state: str, *, durable: bool = False, **changes: Any) -> None:
        """Change the record and write it."""
        self.record.update(changes, state=state)
        self.records.save(self.key, self.record, durable=durable)

    # -- start
    # ---------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Fork the process and let it run. Ends in on_change started or failed."""
        fds: list[int] = []
        try:
            self.records.make_fifos(self.key)
            self.save("starting")
            self.open_pumps()
            fds.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
            fds += [self._open_for_task(stream) for stream in STREAMS]
            if self.layout is not None and not self.spec.get("launcher"):
                for problem in group.create(self.layout):
                    log(f"{self.id}: {problem}")
            spec = self.spec
            if self.layout is None:
                spec = {**spec, "env": {**spec["env"], MARKER: self.marker}}
            self._child = spawn.fork(spec, (fds[0], fds[1], fds[2]))
            self._note_child(self._child)
        except OSError as error:
            self.fail(
                StartError(
                    "spawn", f"cannot prepare the process: {error}", errno=error.errno, stage="prepare"
                )
            )
        finally:
            for fd in fds:
                os.close(fd)

    def _note_child(self, child: spawn.Child) -> None:
        stat = read_stat(child.pid)
        # it is our unreaped child, so it cannot be gone
        start = stat.start if stat else 0
        self.pidfd = os.pidfd_open(child.pid)
        state = "launching" if self.spec.get("launcher") else "starting"
        self.save(state, pid=child.pid, start=start, boot=boot_id())
        self.loop.watch(child.error_fd, self._on_exec)
        child.release()

    def open_pumps(self) -> None:
        """Open the FIFOs for reading and their logs. Raises: OSError."""
        logs = self.spec.get("logs") or {}
        bucket = Bucket(int(logs.get("rate_limit_bytes", 0)), time.monotonic())
        for stream in STREAMS:
            sink = open_log(logs, stream)
            path = os.path.join(self.records.path(self.key), stream)
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            enlarge(fd)
            self.pumps.append(Pump(self.loop, fd, sink, bucket, f"{self.id} {stream}", self._on_stream_end))

    def _open_for_task(self, stream: str) -> int:
        path = os.path.join(self.records.path(self.key), stream)
        # read and write: the task never gets SIGPIPE, and the pipe lives as long as the task does
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        uid = max(self.spec.get("log_uid", -1), self.spec.get("uid", -1))
        if uid >= 0:
            # programs that open /dev/stdout anew need to own it
            os.fchown(fd, uid, -1)
        return fd

    def _on_exec(self) -> None:
        child = self._child
        if child is None:
            return
        self.loop.unwatch(child.error_fd)
        failure = child.result()
        self._child = None
        if failure is not None:
            stage, number = failure
            self.fail(
                StartError("spawn", os.strerror(number) if number else "failed", errno=number, stage=stage)
            )
        elif self.spec.get("launcher"):
            self.loop.watch(self.pidfd, self.on_launcher_exit)
            self._launch_timer = self.loop.later(self.spec["launcher"]["timeout_s"], self._launch_timeout)
        else:
            self.save("running")
            self.loop.watch(self.pidfd, self.on_exit)
            self.on_change(self, "started")

    # -- launcher
    # ------------------------------------------------------------------------------------------------

    def _launch_timeout(self) -> None:
        log(f"{self.id}: the launcher does not end; killing it")
        send_signal(self.pidfd, signal.SIGKILL)

    def on_launcher_exit(self) -> None:
        """The launcher ended: take over the process that it left behind."""
        if self._launch_timer is not None:
            self._launch_timer.cancel()
        code = self.reap()
        self._close_pidfd()
        pid = self._read_pid_file()
        stat = read_stat(pid) if pid else None
        if (code is not None and code != 0) or stat is None:
            word = "an unknown status" if code is None else f"status {code}"
            self.fail(StartError("launch", f"the runtime ended with {word}", status=code))
            return
        fd = open_process(pid, stat.start)
        if fd is None:
            self.fail(StartError("launch", f"process {pid} that the runtime named is gone"))
            return
        self.pidfd = fd
        self.save("running", pid=pid, start=stat.start)
        self.loop.watch(self.pidfd, self.on_exit)
        self.on_change(self, "started")

    def _read_pid_file(self) -> int:
        try:
            with open(self.spec["launcher"]["pid_file"], encoding="ascii") as file:
                return int(file.read() or 0)
        except (OSError, ValueError):
            return 0

    def reap(self) -> int | None:
        """Reap the process behind pidfd.

        Returns its exit code, negative for a signal; None: not ours to reap.
        """
        if self.pidfd < 0:
            return None
        try:
            result = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            return None
        if result is None:
            return None
        return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status

    # -- end
    # -----------------------------------------------------------------------------------------------------

    def on_exit(self) -> None:
        """The main process ended (its pidfd became readable)."""
        self.loop.unwatch(self.pidfd)
        try:
            result = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            self.save("lost")
            self.on_change(self, "lost")
            return
        if result is None:
            self.loop.later(0.01, self.on_exit)
            return
        self.finish(exit_of(result.si_code, result.si_status))

    def finish(self, status: dict[str, Any]) -> None:
        """The status is known: write it down, then kill what is left."""
        if self.state in ("ending", "exited"):
            return
        if self.report_timer is not None:
            self.report_timer.cancel()
        if (
            self.layout is not None
            and group.oom_kills(self.layout)
            and (status["exit_code"] or status["signal"])
        ):
            status["oom_killed"] = True
        self.save("ending", durable=True, exit=status)
        self.clear(self._on_clear)

    def clear(self, on_done: Callable[[], None]) -> None:
        """Kill all processes of the task, then call back."""
        Killer(self.loop, self.id, self.layout, self.held, self.marker, on_done).turn()

    def _on_clear(self) -> None:
        if self.pidfd >= 0:
            self.reap()
        self._close_pidfd()
        if self.layout is not None:
            group.remove(self.layout)
        self.save("exited")
        for pump in self.pumps:
            pump.turn()
        self.on_change(self, "exited")

    def kill(self) -> None:
        """Kill everything; the exit is noticed in the ordinary way."""
        if self._killer is None and self.state in ("launching", "running"):
            self._killer = Killer(self.loop, self.id, self.layout, self.held, self.marker, self._on_killed)
            self._killer.turn()

    def _on_killed(self) -> None:
        self._killer = None

    def fail(self, error: StartError) -> None:
        """The start failed: leave nothing behind, then tell."""
        log(f"{self.id}: start failed: {error}")
        self.error = error
        if self._child is not None and self._child.go_fd >= 0:
            os.close(self._child.go_fd)
        self.clear(self._on_failed)

    def _on_failed(self) -> None:
        if self.pidfd >= 0:
            try:
                os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
            except ChildProcessError:
                pass  # reaped already
        self.dispose()
        self.on_change(self, "failed")

    def _on_stream_end(self) -> None:
        if self.is_drained:
            self.on_change(self, "drained")

    def _close_pidfd(self) -> None:
        if self.pidfd >= 0:
            self.loop.unwatch(self.pidfd)
            os.close(self.pidfd)
            self.pidfd = -1

    def dispose(self) -> None:
        """Remove every trace: pipes (emptied first), groups, record."""
        for pump in self.pumps:
            pump.drain()
            pump.close()
        self._close_pidfd()
        if self.layout is not None:
            group.remove(self.layout)
        self.records.remove(self.key)
