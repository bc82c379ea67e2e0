"""One task stream as numbered files: `DIR/TASK.stdout.0`, `.1`, ...; the newest has the highest number.

Theory: numbers only rise, and files older than the newest `files_max` are removed, so a reader that follows
the log never sees a file change its name. A stream that is opened again goes on in its newest file. Bytes
come by `splice` straight from a pipe: a byte is either still in the pipe or already in the file, so killing
the reader loses none.

A task may write into its own log directory, therefore nothing here follows a symbolic link or opens what is
not a regular file, and all names are relative to a directory descriptor taken once. File systems that cannot
splice get read and write of at most 64 KiB instead; there a kill between the two loses that.

Not here: rate limits (`limit`), reading logs (the node does).
Source: splice(2).
"""

from __future__ import annotations

import errno
import os
import stat

_SPLICE_FLAGS = getattr(os, "SPLICE_F_MOVE", 1) | getattr(os, "SPLICE_F_NONBLOCK", 2)
#: what opening a symbolic link, a pipe without reader, or a directory gives.
_PLANTED = (errno.ELOOP, errno.ENXIO, errno.EISDIR)
_COPY_BYTES = 64 * 1024
_OPEN_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class RotatingFile:
    """Writer of one stream. Single-threaded; blocks on disk like any file write."""

    def __init__(self, directory: str, name: str, *, files_max: int, file_max_bytes: int) -> None:
        """Open the newest file of `name` (such as `web.stdout`), making number 0 where there is none.

        Raises: OSError when the directory is missing or not writable.
        """
        self._name = name
        self._files_max = max(1, files_max)
        self._file_max_bytes = max(1, file_max_bytes)
        self._can_splice = True
        self._fd = -1
        self._dir = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self._index = max(self.indexes(), default=0)
            self._open()
        except BaseException:
            os.close(self._dir)
            raise

    def indexes(self) -> list[int]:
        """Return the numbers of the files that exist, unsorted."""
        prefix = self._name + "."
        return [
            int(entry[len(prefix) :])
            for entry in os.listdir(self._dir)
            if entry.startswith(prefix) and entry[len(prefix) :].isdecimal()
        ]

    def _open(self) -> None:
        for _ in range(100):
            try:
                fd = os.open(f"{self._name}.{self._index}", _OPEN_FLAGS, 0o644, dir_fd=self._dir)
            except OSError as error:
                if error.errno not in _PLANTED:
                    raise
            else:
                if stat.S_ISREG(os.fstat(fd).st_mode):
                    break
                os.close(fd)
            # a link, pipe or directory stands there: take the next number
            self._index += 1
        else:
            raise OSError(errno.EEXIST, f"no free number for log file {self._name}")
        old, self._fd = self._fd, fd
        if old >= 0:
            os.close(old)
        self._prune()

    def _prune(self) -> None:
        for index in self.indexes():
            if index <= self._index - self._files_max:
                try:
                    os.unlink(f"{self._name}.{index}", dir_fd=self._dir)
                except OSError:
                    pass  # a directory or someone else's file under our name; it is not ours to force

    def _room(self) -> tuple[int, int]:
        """Return (end of the current file, bytes that still go into it), after turning to a new one if full."""
        # the size is asked for each time, since an operator may truncate the file under us
        size = os.fstat(self._fd).st_size
        if size >= self._file_max_bytes:
            self._index += 1
            self._open()
            size = os.fstat(self._fd).st_size
        return size, max(1, self._file_max_bytes - size)

    def splice_from(self, pipe: int, count_max: int) -> int:
        """Move up to count_max bytes out of a non-blocking pipe. 0: end of file.

        Raises: BlockingIOError when the pipe is empty; OSError (ENOSPC, EDQUOT, ...) with the bytes still in
        the pipe.
        """
        end, room = self._room()
        count = min(count_max, room)
        if self._can_splice:
            try:
                return os.splice(pipe, self._fd, count, offset_dst=end, flags=_SPLICE_FLAGS)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self._can_splice = False
        data = os.read(pipe, min(count, _COPY_BYTES))
        self.write(data)
        return len(data)

    def write(self, data: bytes) -> None:
        """Append bytes, turning to new files as often as needed."""
        view = memoryview(data)
        while view:
            end, room = self._room()
            view = view[os.pwrite(self._fd, view[:room], end) :]

    def close(self) -> None:
        """Close the descriptors. Idempotent."""
        for fd in (self._fd, self._dir):
            if fd >= 0:
                os.close(fd)
        self._fd = self._dir = -1


class NullFile:
    """Stands where a task's logs are disabled: takes bytes out of the pipe and forgets them."""

    def splice_from(self, pipe: int, count_max: int) -> int:
        """Read and forget up to count_max bytes. 0: end of file. Raises: BlockingIOError."""
        return len(os.read(pipe, min(count_max, _COPY_BYTES)))

    def close(self) -> None:
        """Do nothing."""
