"""Logs over rotated files, and files by parts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.model.errors import InvalidInput
from daemon.node.serve.files import stream_file
from daemon.node.serve.logs import LogReader, stream_logs
from tests.node.nodekit import MemoryStream, until


def write(root: Path, *files: bytes, first: int = 0) -> Path:
    logs = root / "alloc" / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(files, first):
        (logs / f"web.stdout.{number}").write_bytes(data)
    return logs


async def read(root: Path, *, offset=0, origin="start"):
    stream = MemoryStream()
    reader = LogReader(root, "web", "stdout")
    await stream_logs(reader, stream, offset=offset, origin=origin, follow=False, ended=lambda: True)
    return stream.data


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.binary(max_size=9), max_size=4),
    st.integers(0, 50),
    st.sampled_from(["start", "end"]),
    st.integers(0, 12),
)
def test_rotated_files_are_one_stream(tmp_path_factory, files, offset, origin, first):
    root = tmp_path_factory.mktemp("logs")
    write(root, *files, first=first)
    whole = b"".join(files)
    wanted = whole[min(offset, len(whole)) :] if origin == "start" else whole[max(0, len(whole) - offset) :]
    assert asyncio.run(read(root, offset=offset, origin=origin)) == wanted


async def test_other_tasks_with_a_longer_name_are_not_read(tmp_path):
    logs = write(tmp_path, b"mine")
    (logs / "web.stdout.0.stdout.1").write_bytes(b"other")
    (logs / "web.stdout.x").write_bytes(b"other")
    assert await read(tmp_path) == b"mine"


async def test_following_goes_on_over_rotation_and_loses_nothing(tmp_path):
    logs = write(tmp_path, b"a")
    stream, over = MemoryStream(), asyncio.Event()
    reader = LogReader(tmp_path, "web", "stdout")
    following = asyncio.create_task(
        stream_logs(reader, stream, offset=0, origin="start", follow=True, ended=over.is_set)
    )
    await until(lambda: stream.data == b"a")
    with (logs / "web.stdout.0").open("ab") as file:
        file.write(b"b")
    (logs / "web.stdout.1").write_bytes(b"c")
    (logs / "web.stdout.0").unlink()
    (logs / "web.stdout.2").write_bytes(b"d")
    await until(lambda: stream.data == b"abcd")
    over.set()
    await asyncio.wait_for(following, 5)


async def test_following_may_begin_before_the_first_file(tmp_path):
    stream, over = MemoryStream(), asyncio.Event()
    reader = LogReader(tmp_path, "web", "stdout")
    following = asyncio.create_task(
        stream_logs(reader, stream, offset=0, origin="start", follow=True, ended=over.is_set)
    )
    await asyncio.sleep(0.05)
    write(tmp_path, b"late")
    await until(lambda: stream.data == b"late")
    over.set()
    await asyncio.wait_for(following, 5)


async def test_a_log_that_is_a_planted_link_is_not_read(tmp_path):
    logs = write(tmp_path)
    (logs / "web.stdout.0").symlink_to("/etc/passwd")
    assert await read(tmp_path) == b""


@pytest.mark.parametrize("facts", [{"offset": -1}, {"origin": "middle"}])
async def test_bad_offsets_are_refused(tmp_path, facts):
    write(tmp_path, b"x")
    with pytest.raises(InvalidInput):
        await read(tmp_path, **facts)


@pytest.mark.parametrize(
    ("offset", "origin", "limit", "wanted"),
    [(0, "start", 0, b"0123456789"), (3, "start", 4, b"3456"), (4, "end", 2, b"67"), (99, "start", 0, b"")],
)
async def test_parts_of_a_file(tmp_path, offset, origin, limit, wanted):
    (tmp_path / "file").write_bytes(b"0123456789")
    stream = MemoryStream()
    await stream_file(
        tmp_path, "file", stream, offset=offset, origin=origin, limit=limit, follow=False, ended=lambda: True
    )
    assert stream.data == wanted


async def test_a_followed_file_that_is_truncated_begins_anew(tmp_path):
    (tmp_path / "file").write_bytes(b"long text")
    stream, over = MemoryStream(), asyncio.Event()
    following = asyncio.create_task(
        stream_file(
            tmp_path, "file", stream, offset=0, origin="start", limit=0, follow=True, ended=over.is_set
        )
    )
    await until(lambda: stream.data == b"long text")
    (tmp_path / "file").write_bytes(b"new")
    await until(lambda: stream.data == b"long textnew")
    over.set()
    await asyncio.wait_for(following, 5)
