"""What a new supervisor does with the tasks of its predecessor, which was killed, or replaced itself by exec.

Theory: the records say what ran. Each is compared with the kernel: (boot, pid, start time) alive -> watched
again through a pidfd; dead -> `lost`, until the agent that reaped it reports its status or it is clear that
nobody did. A record in state `starting` had not been released: its process left by itself when the old
supervisor's pipe closed.
"""

from __future__ import annotations

from plugins.supervisor.kernel import boot_id, open_process, read_stat
from plugins.supervisor.loop import log
from plugins.supervisor.task import REPORT_S, Task, exit_of, unknown_exit


def adopt(task: Task) -> None:
    """Bring a task back from its record."""
    if task.state == "starting" and not task.main[0]:
        # nothing was forked yet; whoever asked will ask again
        task.dispose()
        task.on_change(task, "abandoned")
        return
    try:
        task.records.make_fifos(task.key)
        task.open_pumps()
    except OSError as error:
        log(f"{task.id}: cannot take up its output again: {error}")
    # a pipe whose writers are gone reports nothing by itself to a new reader
    for pump in list(task.pumps):
        pump.turn()
    if task.state == "exited":
        return
    pid, start = task.main
    stat = read_stat(pid) if pid else None
    # whoever is its parent now is who will reap it
    task.record["parent"] = stat.ppid if stat is not None and stat.start == start else 0
    alive = bool(pid) and task.record.get("boot") == boot_id()
    fd = open_process(pid, start) if alive else None
    if task.state == "ending":
        _resume_ending(task, fd)
    elif fd is not None:
        task.pidfd = fd
        # already over: the descriptor is readable at once, and the callback finds out
        task.loop.watch(fd, task.on_launcher_exit if task.state == "launching" else task.on_exit)
        if task.state == "starting":
            task.save("running")
    elif task.state == "launching":
        task.on_launcher_exit()
    else:
        task.save("lost")


def _resume_ending(task: Task, fd: int | None) -> None:
    if fd is not None:
        task.pidfd = fd
    status = task.record["exit"]
    task.record["state"] = "running"
    task.finish(status)


def report(task: Task, pid: int, start: int, code: int, status: int) -> bool:
    """An agent reaped the main process and says how it ended. False: it is not about the present process."""
    if task.main != (pid, start) or task.state not in ("running", "lost", "starting"):
        return False
    task.finish(exit_of(code, status))
    return True


def settle_lost(task: Task, client_pids: set[int]) -> int:
    """Give a lost task to the client that is its parent, for a while; without one its status is unknown.

    Returns the pid of the client that has to reap it now; 0: nobody.
    """
    if task.state != "lost" or task.report_timer is not None:
        return 0
    stat = read_stat(task.main[0])
    there = stat is not None and stat.start == task.main[1]
    parent: int = stat.ppid if there and stat is not None else task.record.get("parent", 0)
    if parent not in client_pids:
        # one that was seen dying at adoption has left its children to somebody since: to a client, perhaps, which
        # reaped this one before we could look, and will say so unasked
        inherited = not there and parent > 0 and read_stat(parent) is None
        if not (inherited and client_pids):
            task.finish(unknown_exit())
            return 0
        parent = 0
    task.report_timer = task.loop.later(REPORT_S, lambda: task.finish(unknown_exit()))
    return parent
