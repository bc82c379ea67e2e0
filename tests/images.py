"""Local images for tests and demos, made of this machine's own programs: no registry is needed.

`busybox:1` is Debian's static busybox with all its applets; `redis:3.2` is Debian's redis-server with its shared
libraries and an entrypoint that behaves as the official image's does. Both are made by `docker import`.
Also a program: `python -m tests.images [ENDPOINT]` makes both.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

BUSYBOX = "busybox:1"
BUSYBOX_LATEST = "busybox:latest"
REDIS = "redis:3.2"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_PASSWD = (
    "root:x:0:0:root:/root:/bin/sh\nredis:x:999:999::/data:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"
)
_GROUP = "root:x:0:\nredis:x:999:\nnogroup:x:65534:\n"
_ENTRYPOINT = """#!/bin/sh
set -e
# first argument is an option or a file: it is meant for redis-server
if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then
    set -- redis-server "$@"
fi
if [ "$1" = redis-server ]; then
    shift
    case "$1" in
        *.conf) file=$1; shift; set -- "$file" --protected-mode no "$@" ;;
        *) set -- --bind 0.0.0.0 --protected-mode no "$@" ;;
    esac
    exec redis-server "$@"
fi
exec "$@"
"""


class _Tree:
    """A root file system as a tar archive."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._buffer, mode="w")
        self._seen: set[str] = set()

    def directory(self, name: str, mode: int = 0o755) -> None:
        parent = str(Path(name).parent)
        if parent not in (".", "/"):
            self.directory(parent)
        if name in self._seen:
            return
        self._seen.add(name)
        info = tarfile.TarInfo(name)
        info.type, info.mode = tarfile.DIRTYPE, mode
        self._tar.addfile(info)

    def file(self, name: str, data: bytes, mode: int = 0o644) -> None:
        self.directory(str(Path(name).parent))
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(data), mode
        self._tar.addfile(info, io.BytesIO(data))

    def link(self, name: str, target: str) -> None:
        self.directory(str(Path(name).parent))
        info = tarfile.TarInfo(name)
        info.type, info.linkname = tarfile.SYMTYPE, target
        self._tar.addfile(info)

    def bytes(self) -> bytes:
        self._tar.close()
        return self._buffer.getvalue()


def _base() -> _Tree:
    busybox = shutil.which("busybox")
    assert busybox is not None, "busybox-static is not installed"
    tree = _Tree()
    for name, mode in (("tmp", 0o1777), ("root", 0o700), ("data", 0o777), ("proc", 0o755), ("sys", 0o755)):
        tree.directory(name, mode)
    tree.file("bin/busybox", Path(busybox).read_bytes(), 0o755)
    for applet in subprocess.check_output([busybox, "--list"], text=True).split():
        if applet != "busybox":
            tree.link(f"bin/{applet}", "busybox")
    tree.file("etc/passwd", _PASSWD.encode())
    tree.file("etc/group", _GROUP.encode())
    return tree


def busybox_tar() -> bytes:
    """The root file system of the busybox image."""
    return _base().bytes()


def redis_tar() -> bytes:
    """The root file system of the redis image."""
    tree = _base()
    for program in ("redis-server", "redis-cli"):
        path = shutil.which(program)
        assert path is not None, f"{program} is not installed (Debian: redis-server, redis-tools)"
        tree.file(f"usr/bin/{program}", Path(path).resolve().read_bytes(), 0o755)
    libraries: set[str] = set()
    for program in ("redis-server", "redis-cli"):
        listing = subprocess.check_output(["ldd", str(shutil.which(program))], text=True)
        libraries |= set(re.findall(r"(?:=> )?(/\S+) \(0x", listing))
    for library in sorted(libraries):
        tree.file(library.lstrip("/"), Path(library).resolve().read_bytes(), 0o755)
    tree.file("usr/local/bin/docker-entrypoint.sh", _ENTRYPOINT.encode(), 0o755)
    return tree.bytes()


def _has(client: Any, name: str) -> bool:
    import docker.errors

    try:
        client.inspect_image(name)
    except docker.errors.ImageNotFound:
        return False
    return True


def import_image(client: Any, name: str, tar: bytes, changes: list[str]) -> None:
    """`docker import` of a root file system."""
    repository, _, tag = name.rpartition(":")
    client.import_image_from_data(tar, repository=repository, tag=tag, changes=[f"ENV {PATH}", *changes])


def ensure_busybox(client: Any) -> None:
    """`busybox:1` and `busybox:latest`, unless they are there. `client`: a docker.APIClient."""
    if not _has(client, BUSYBOX):
        import_image(client, BUSYBOX, busybox_tar(), ['CMD ["sh"]'])
    if not _has(client, BUSYBOX_LATEST):
        client.tag(BUSYBOX, "busybox", "latest")


def ensure_redis(client: Any) -> None:
    """`redis:3.2`, unless it is there."""
    if not _has(client, REDIS):
        changes = [
            'ENTRYPOINT ["docker-entrypoint.sh"]',
            'CMD ["redis-server"]',
            "EXPOSE 6379",
            "WORKDIR /data",
        ]
        import_image(client, REDIS, redis_tar(), changes)


def main() -> None:
    """Make both images on the engine given as argument, or on the usual one."""
    import docker

    client = docker.APIClient(base_url=sys.argv[1] if len(sys.argv) > 1 else None, version="auto")
    try:
        ensure_busybox(client)
        ensure_redis(client)
    finally:
        client.close()


if __name__ == "__main__":
    main()
