"""The supervisor process: what it owns and what clients may ask of it.

Theory: it owns tasks and knows nothing of jobs, drivers or policy; a client says exactly what to run, and
everything that can be decided elsewhere is. It lives as long as tasks or clients are there, whatever happens
to the agent; after IDLE_S without either it leaves by itself. Frozen by SIGSTOP it delays: tasks run on,
writers block once PIPE_BYTES are unread, clients get an error at their deadline, and requests whose deadline
has passed are dropped on waking.

Operations: hello, list, start, signal, kill, wait, destroy, run, cancel, exited, upgrade, shutdown.
Not here: everything asynchronous on the agent's side (client).
"""

from __future__ import annotations

import os
import re
import signal
import socket
import time

from plugins.cgroups import group
from plugins.supervisor import protocol
from plugins.supervisor.adopt import adopt, report, settle_lost
from plugins.supervisor.connection import Connection
from plugins.supervisor.kernel import read_stat, send_signal
from plugins.supervisor.loop import Loop, Timer, log
from plugins.supervisor.records import Records
from plugins.supervisor.session import Session
from plugins.supervisor.task import StartError, Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Message = dict[str, Any]

#: a supervisor without tasks and clients ends after this time.
IDLE_S = 10.0
_KEY = re.compile(r"[0-9a-f]{24}")
_SWEEP_S = 0.2


class Refused(Exception):
    """A request that cannot be done. `kind` is one of protocol's."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Supervisor:
    """All tasks, all connections, one loop."""

    def __init__(self, base: str, listener: socket.socket, on_upgrade: Callable[[], None]) -> None:
        self.loop = Loop()
        self.base = base
        self.records = Records(base)
        self.tasks: dict[str, Task] = {}
        self._listener = listener
        self._on_upgrade = on_upgrade
        self._connections: list[Connection] = []
        #: task id -> [(operation, connection, request number)] to answer when it has started, exited or gone.
        self._waiting: dict[str, list[tuple[str, Connection, int]]] = {}
        self._greeted = False
        self._stopping = False
        self._sweep: Timer | None = None
        self._idle_since_s = time.monotonic()
        self._operations: dict[str, Callable[[Connection, Message, list[int]], Message | None]] = {
            "hello": self._hello,
            "list": self._list,
            "start": self._start,
            "signal": self._signal,
            "kill": self._kill,
            "wait": self._wait,
            "destroy": self._destroy,
            "run": self._run,
            "cancel": self._cancel,
            "exited": self._exited,
            "upgrade": self._upgrade,
            "shutdown": self._shutdown,
        }

    def run(self) -> None:
        """Adopt what is on disk and serve until stopped."""
        for record in self.records.load_all():
            task = Task(self.loop, self.records, record, self._on_change)
            self.tasks[task.id] = task
        for task in list(self.tasks.values()):
            adopt(task)
        if self.tasks:
            log(f"took over {len(self.tasks)} tasks")
        self._listener.setblocking(False)
        self.loop.watch(self._listener.fileno(), self._on_connect)
        self.loop.on_signal(signal.SIGCHLD, self._on_child)
        self.loop.on_signal(signal.SIGTERM, self._on_term)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self._on_child()
        self._check_idle()
        self.loop.run()
        self.drop_clients()
        for task in self.tasks.values():
            if task.layout is not None:
                group.remove_parents(task.layout)

    # -- life
    # ----------------------------------------------------------------------------------------------------

    def _check_idle(self) -> None:
        if self.tasks or self._connections:
            self._idle_since_s = time.monotonic()
        elif time.monotonic() - self._idle_since_s >= IDLE_S:
            log("no tasks and no clients; leaving")
            self.loop.stop()
            return
        self.loop.later(IDLE_S / 6, self._check_idle)

    def _on_term(self) -> None:
        running = sum(1 for task in self.tasks.values() if not task.is_over)
        if running:
            log(f"SIGTERM ignored: {running} tasks run here; stop them first, or ask for a forced shutdown")
        else:
            self.loop.stop()

    def _on_child(self) -> None:
        if self._sweep is None:
            self._sweep = self.loop.later(_SWEEP_S, self._reap_orphans)

    def _reap_orphans(self) -> None:
        """Reap what came to us because its parent died; tasks and commands are reaped by those who watch them."""
        self._sweep = None
        if any(task.state == "launching" for task in self.tasks.values()):
            # the dead child might be the very process that a launcher is about to name
            self._on_child()
            return
        known = {task.main[0] for task in self.tasks.values() if task.pidfd >= 0}
        known.update(session.pid for conn in self._connections for session in conn.sessions.values())
        for pid in _children():
            stat = read_stat(pid)
            if pid not in known and stat is not None and stat.state == "Z":
                os.waitpid(pid, os.WNOHANG)

    def _on_connect(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        connection = Connection(self.loop, sock, self._on_request, self._on_close)
        if connection.uid not in (0, os.geteuid()):
            log(f"refused a connection of uid {connection.uid}")
            connection.close()
            return
        self._connections.append(connection)

    def _on_close(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
        for waiters in self._waiting.values():
            waiters[:] = [waiter for waiter in waiters if waiter[1] is not connection]
        # who was to report the status of a lost task may just have died
        self._settle_lost()

    # -- requests
    # ------------------------------------------------------------------------------------------------

    def _on_request(self, connection: Connection, message: Message, fds: list[int]) -> None:
        number = message.get("n")
        if not isinstance(number, int):
            number = 0
        try:
            operation = self._operations.get(str(message.get("op")))
            if operation is None:
                raise Refused(
                    "bad-request", f"no operation {message.get('op')!r} in protocol {protocol.VERSION}"
                )
            deadline_s = message.get("deadline")
            if isinstance(deadline_s, int | float) and deadline_s < time.monotonic():
                raise Refused("expired", "the request's deadline had passed before it was looked at")
            answer = operation(connection, message, fds)
            if answer is not None:
                connection.send({"n": number, "ok": answer})
        except Refused as error:
            connection.send({"n": number, "error": error.kind, "message": str(error)})
        except StartError as error:
            connection.send(
                {"n": number, "error": error.kind, "message": str(error), "details": error.details}
            )
        except (KeyError, TypeError, ValueError) as error:
            connection.send(
                {"n": number, "error": "bad-request", "message": f"{type(error).__name__}: {error}"}
            )
        finally:
            for fd in fds:
                os.close(fd)

    def _task(self, message: Message) -> Task:
        task = self.tasks.get(message["id"])
        if task is None:
            raise Refused("not-found", f"the supervisor knows no task {message['id']!r}")
        return task

    def _hello(self, connection: Connection, message: Message, fds: list[int]) -> Message:
        connection.greeted = self._greeted = True
        for item in message.get("exited", ()):
            task = self.tasks.get(item["id"])
            if task is not None:
                report(task, item["pid"], item["start"], item["code"], item["status"])
        self._settle_lost()
        return {"version": protocol.VERSION, "pid": os.getpid()}

    def drop_clients(self) -> None:
        """Close all connections, commands included; clients connect again by themselves."""
        for connection in list(self._connections):
            connection.close()

    def _settle_lost(self) -> None:
        if self._greeted:
            pids = {connection.pid for connection in self._connections if connection.greeted}
            for task in list(self.tasks.values()):
                reaper = settle_lost(task, pids)
                for connection in self._connections:
                    if reaper and connection.pid == reaper:
                        connection.send({"event": "reap", **task.info()})

    def _list(self, connection: Connection, message: Message, fds: list[int]) -> Message:
        after = str(message.get("after", ""))
        ids = sorted(task_id for task_id in self.tasks if task_id > after)
        page = ids[: protocol.LIST_PAGE_COUNT]
        return {"tasks": [self.tasks[task_id].info() for task_id in page], "more": len(ids) > len(page)}

    def _start(self, connection: Connection, message: Message, fds: list[int]) -> Message | None:
        spec, key = message["spec"], message["key"]
        task_id = spec["id"]
        if self._stopping:
            raise Refused("busy", "the supervisor is shutting down")
        if not (isinstance(task_id, str) and isinstance(key, str) and _KEY.fullmatch(key)):
            raise ValueError("id or key is not what the protocol says")
        task = self.tasks.get(task_id)
        if task is not None and task.error is None and task.state not in ("starting", "launching"):
            return {**task.info(), "existing": True}
        self._waiting.setdefault(task_id, []).append(("start", connection, message["n"]))
        if task is None:
            record = {"id": task_id, "key": key, "spec": spec, "state": "starting"}
            task = self.tasks[task_id] = Task(self.loop, self.records, record, self._on_change)
            task.begin()
        return None

    def _signal(self, connection: Connection, message: Message, fds: list[int]) -> Message:
        task = self._task(message)
        if task.state != "running" or not send_signal(task.pidfd, int(message["number"])):
            raise Refused("not-found", f"task {task.id!r} does not run any more")
        return {}

    def _kill(self, connection: Connection, message: Message, fds: list[int]) -> Message:
        self._task(message).kill()
        return {}

    def _wait(self, connection: Connection, message: Message, fds: list[int]) -> Message | None:
        task = self._task(message)
        if task.is_over:
            return task.info()
        self._waiting.setdefault(task.id, []).append(("wait", connection, message["n"]))
        return None

    def _destroy(self, connection: Connection, message: Message, fds: list[int]) -> Message | None:
        task = self.tasks.get(message["id"])
        if task is None:
            return {}
        if task.is_over:
            self._forget(task)
            return {}
        self._waiting.setdefault(task.id, []).append(("destroy", connection, message["n"]))
        task.kill()
        return None

    def _forget(self, task: Task) -> None:
        task.dispose()
        self._drop(task)
        self._answer(task, ("wait", "destroy"), lambda waiter: {"n": waiter, "ok": task.info()})

    def _drop(self, task: Task) -> None:
        """A task is no more; with the last one go the groups above."""
        self.tasks.pop(task.id, None)
        if not self.tasks and task.layout is not None:
            group.remove_parents(task.layout)

    def _run(self, connection: Connection, message: Message, fds: list[int]) -> Message | None:
        task, spec, number = self._task(message), dict(message["spec"]), message["n"]
        if task.state != "running":
            raise Refused("not-found", f"task {task.id!r} does not run, so no command can run beside it")
        if len(fds) != 3:
            raise ValueError("three descriptors are needed")
        for name in ("uid", "gid", "groups", "join", "cwd"):
            spec.setdefault(name, task.spec.get(name))
        spec["env"] = (
            {**task.spec["env"], **spec.get("env", {})} if spec.pop("inherit", True) else spec["env"]
        )

        def on_end(status: Message | None, error: StartError | None) -> None:
            connection.sessions.pop(number, None)
            if error is not None:
                connection.send(
                    {"n": number, "error": error.kind, "message": str(error), "details": error.details}
                )
            else:
                connection.send({"n": number, "ok": {"exit": status}})

        taken = list(fds)
        fds.clear()
        connection.sessions[number] = Session(self.loop, spec, taken, on_end)
        return None

    def _cancel(self, connection: Connection, message: Message, fds: list[int]) -> Message:
        session = connection.sessions.get(int(message["run"]))
        if session is not None:
            session.cancel()
        return {}

    def _exited(self, connection: Connection, message: Message, fds: list[int]) -> Message:
        task = self.tasks.get(message["id"])
        if task is not None:
            report(task, message["pid"], message["start"], message["code"], message["status"])
        return {}

    def _upgrade(self, connection: Connection, message: Message, fds: list[int]) -> Message | None:
        if any(task.state in ("starting", "launching") for task in self.tasks.values()):
            raise Refused("busy", "a task is being started; try again")
        connection.send({"n": message["n"], "ok": {}})
        self._on_upgrade()
        raise Refused("internal", "the new program could not be started; the old one goes on")

    def _shutdown(self, connection: Connection, message: Message, fds: list[int]) -> Message:
        running = [task for task in self.tasks.values() if not task.is_over]
        if running and not message.get("force"):
            raise Refused("busy", f"{len(running)} tasks run here; stop them first, or force it")
        self._stopping = True
        for task in running:
            task.kill()
        self._stop_when_over()
        return {"killed": len(running)}

    def _stop_when_over(self) -> None:
        if all(task.is_over for task in self.tasks.values()):
            self.loop.stop()
        else:
            self.loop.later(0.02, self._stop_when_over)

    # -- news of tasks
    # -------------------------------------------------------------------------------------------

    def _on_change(self, task: Task, what: str) -> None:
        if what == "started":
            if any(waiter[0] == "destroy" for waiter in self._waiting.get(task.id, ())):
                task.kill()
            self._answer(
                task, ("start",), lambda number: {"n": number, "ok": {**task.info(), "existing": False}}
            )
        elif what == "abandoned":
            self._drop(task)
        elif what == "failed":
            self._drop(task)
            error = task.error or StartError("internal", "failed")
            reply = {"error": error.kind, "message": str(error), "details": error.details}
            self._answer(task, ("start", "wait"), lambda number: {"n": number, **reply})
            self._answer(task, ("destroy",), lambda number: {"n": number, "ok": {}})
        elif what == "lost":
            self._settle_lost()
        elif what == "exited":
            self._answer(task, ("start", "wait"), lambda number: {"n": number, "ok": task.info()})
            if any(waiter[0] == "destroy" for waiter in self._waiting.get(task.id, ())):
                self._forget(task)
        elif what == "drained":
            for connection in self._connections:
                connection.send({"event": "drained", "id": task.id})

    def _answer(self, task: Task, operations: tuple[str, ...], make: Callable[[int], Message]) -> None:
        waiters = self._waiting.pop(task.id, [])
        rest = [waiter for waiter in waiters if waiter[0] not in operations]
        if rest:
            self._waiting[task.id] = rest
        for operation, connection, number in waiters:
            if operation in operations:
                connection.send(make(number))


def _children() -> list[int]:
    """Return the pids of this process's children, zombies included."""
    pid = os.getpid()
    try:
        with open(f"/proc/self/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        from plugins.supervisor.kernel import all_stats  # a kernel without CONFIG_PROC_CHILDREN

        return [stat.pid for stat in all_stats() if stat.ppid == pid]
