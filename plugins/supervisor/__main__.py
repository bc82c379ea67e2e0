"""`python -m plugins.supervisor --dir DIR`: start the supervisor of one data directory.

Theory: a lock on DIR/supervisor.lock makes it the only one; it is held by an open file, so it ends with the
process. The socket is bound by a path through a directory descriptor, since a socket's path may have 107
bytes at most. An upgrade in place is an exec of the same command line: pid, children, lock, listening socket
and cgroups stay; the numbers of the kept descriptors travel in one environment variable; everything else is
read from the records again. The FIFOs' read ends are kept over the exec too, so that not even an absent agent
lets a byte fall.
"""

from __future__ import annotations

import fcntl
import gc
import os
import socket
import sys

from plugins.supervisor import protocol
from plugins.supervisor.kernel import become_subreaper
from plugins.supervisor.loop import log
from plugins.supervisor.server import Supervisor
from plugins.supervisor.spawn import raise_own_limit

_INHERIT = "ENCAMP_SUPERVISOR_INHERIT"
#: exit status when another supervisor has the directory.
LOCKED_STATUS = 75


def _take_lock(base: str) -> int | None:
    fd = os.open(os.path.join(base, protocol.LOCK_NAME), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def _listen(base: str) -> socket.socket:
    directory = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    path = f"/proc/self/fd/{directory}/{protocol.SOCKET_NAME}"
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    old = os.umask(0o177)
    try:
        sock.bind(path)
    finally:
        os.umask(old)
        os.close(directory)
    sock.listen(64)
    return sock


def _close_strays(keep: set[int]) -> None:
    """Close what the agent's own parent left open in it: neither we nor tasks may hold that for years."""
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd > 2 and fd not in keep:
            try:
                os.close(fd)
            except OSError:
                pass  # the descriptor of this very listing


def main(argv: list[str]) -> int:
    """Run until there is nothing left to do. Returns the exit status."""
    if len(argv) != 3 or argv[1] != "--dir":
        sys.stderr.write("usage: python -m plugins.supervisor --dir DIR\n")
        return 64
    base = os.path.abspath(argv[2])
    inherited = os.environ.pop(_INHERIT, "")
    kept: list[int] = []
    _close_strays({int(word) for word in inherited.split(",") if word})
    if inherited:
        lock, listening, *kept = (int(word) for word in inherited.split(","))
        for fd in (lock, listening, *kept):
            os.set_inheritable(fd, False)
        listener = socket.socket(fileno=listening)
    else:
        os.makedirs(base, mode=0o700, exist_ok=True)
        taken = _take_lock(base)
        if taken is None:
            return LOCKED_STATUS
        lock = taken
        listener = _listen(base)
    # from here on the working directory holds nothing busy
    os.chdir("/")
    become_subreaper()
    raise_own_limit()

    def upgrade() -> None:
        keep = [lock, listener.fileno()]
        keep += [pump.fd for task in supervisor.tasks.values() for pump in task.pumps if pump.is_open]
        for fd in keep:
            os.set_inheritable(fd, True)
        env = {**os.environ, _INHERIT: ",".join(map(str, keep))}
        log("replacing the program in place")
        supervisor.drop_clients()
        try:
            os.execve(sys.executable, sys.orig_argv, env)  # noqa: S606
        except OSError as error:
            log(f"cannot run {sys.executable}: {error}")
            for fd in keep:
                os.set_inheritable(fd, False)

    supervisor = Supervisor(base, listener, upgrade)
    gc.collect()
    gc.freeze()
    log(f"started for {base}")

    def release_kept() -> None:
        for fd in kept:
            os.close(fd)

    # the records' FIFOs are open again by the time the loop turns
    supervisor.loop.later(0, release_kept)
    supervisor.run()
    log("ended")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
