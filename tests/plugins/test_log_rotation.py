"""Rotated logs: sizes, numbers, pruning, what a hostile task may plant, and the rate limit."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.logs.limit import Bucket
from plugins.logs.rotate import NullFile, RotatingFile


@pytest.fixture
def pipe():
    read, write = os.pipe()
    os.set_blocking(read, False)
    ends = [read, write]
    yield ends
    for fd in ends:
        os.close(fd)


def content(directory, name="web.stdout"):
    files = [entry for entry in os.listdir(directory) if entry.startswith(name + ".")]
    files.sort(key=lambda entry: int(entry.rpartition(".")[2]))
    return files, b"".join((directory / entry).read_bytes() for entry in files)


def opened(directory, files_max=10, file_max_bytes=100):
    return RotatingFile(str(directory), "web.stdout", files_max=files_max, file_max_bytes=file_max_bytes)


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=300), max_size=12),
    limit=st.integers(1, 150),
    files=st.integers(1, 4),
)
def test_nothing_but_the_oldest_files_is_missing(tmp_path_factory, chunks, limit, files):
    directory = tmp_path_factory.mktemp("logs")
    log = opened(directory, files, limit)
    for chunk in chunks:
        log.write(chunk)
    log.close()
    names, kept = content(directory)
    everything = b"".join(chunks)
    assert everything.endswith(kept)
    assert len(names) <= files
    assert all((directory / name).stat().st_size <= limit for name in names)
    if len(everything) <= limit * files:
        assert kept == everything


def test_splice_moves_out_of_the_pipe_into_files(tmp_path, pipe):
    read, write = pipe
    log = opened(tmp_path)
    os.write(write, b"x" * 250)
    moved = [log.splice_from(read, 1000) for _ in range(3)]
    assert moved == [100, 100, 50]
    with pytest.raises(BlockingIOError):
        log.splice_from(read, 1000)
    os.close(write)
    pipe[1] = os.open(os.devnull, os.O_RDONLY)
    assert log.splice_from(read, 1000) == 0
    log.close()
    assert content(tmp_path) == (["web.stdout.0", "web.stdout.1", "web.stdout.2"], b"x" * 250)


def test_goes_on_in_the_newest_file(tmp_path):
    for text in (b"one ", b"two ", b"three"):
        log = opened(tmp_path)
        log.write(text)
        log.close()
    assert content(tmp_path) == (["web.stdout.0"], b"one two three")
    (tmp_path / "web.stdout.7").write_bytes(b"seven")
    log = opened(tmp_path, files_max=3)
    log.write(b"!")
    log.close()
    assert (tmp_path / "web.stdout.7").read_bytes() == b"seven!"
    assert not (tmp_path / "web.stdout.0").exists()


def test_truncated_under_us(tmp_path):
    log = opened(tmp_path)
    log.write(b"a" * 60)
    (tmp_path / "web.stdout.0").write_bytes(b"")
    log.write(b"b" * 60)
    log.close()
    assert content(tmp_path) == (["web.stdout.0"], b"b" * 60)


def test_other_names_are_left_alone(tmp_path):
    for name in ("web.stdout.x", "web.stderr.0", "web2.stdout.0", "web.stdout", "notes"):
        (tmp_path / name).write_text("keep")
    log = opened(tmp_path, files_max=1, file_max_bytes=1)
    log.write(b"abc")
    log.close()
    kept = ("web.stdout.x", "web.stderr.0", "web2.stdout.0", "web.stdout", "notes")
    assert {(tmp_path / name).read_text() for name in kept} == {"keep"}
    assert (tmp_path / "web.stdout.2").read_bytes() == b"c"


def test_a_planted_link_or_pipe_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "web.stdout.0").symlink_to(victim)
    os.mkfifo(logs / "web.stdout.2")
    (logs / "web.stdout.3").mkdir()
    log = opened(logs, file_max_bytes=4)
    (logs / "web.stdout.5").symlink_to(victim)
    log.write(b"fullmore")
    log.close()
    assert victim.read_text() == "precious"
    assert (logs / "web.stdout.4").read_bytes() == b"full" and (logs / "web.stdout.6").read_bytes() == b"more"
    linked = tmp_path / "linked"
    linked.symlink_to(logs)
    with pytest.raises(OSError):
        opened(linked)


def test_close_twice_and_null(tmp_path, pipe):
    log = opened(tmp_path)
    log.close()
    log.close()
    os.write(pipe[1], b"gone")
    null = NullFile()
    assert null.splice_from(pipe[0], 100) == 4
    null.close()


@given(
    rate=st.integers(1, 10_000),
    asks=st.lists(st.tuples(st.floats(0, 2), st.integers(1, 50_000)), max_size=40),
)
def test_bucket_never_exceeds_the_rate(rate, asks):
    bucket, now_s, passed = Bucket(rate, 0.0), 0.0, 0
    for wait_s, wanted in asks:
        now_s += wait_s
        allowed = bucket.allowed(wanted, now_s)
        assert 0 <= allowed <= wanted
        bucket.took(allowed)
        passed += allowed
        assert passed <= rate * (now_s + 1) + 1


def test_bucket_lets_through_after_its_delay():
    bucket = Bucket(1000, 0.0)
    bucket.took(bucket.allowed(10_000, 0.0))
    assert bucket.allowed(10, 0.0) == 0
    assert bucket.allowed(10, bucket.delay_s()) == 10
    bucket.lift()
    assert bucket.allowed(10**9, 0.0) == 10**9
    assert Bucket(0, 0.0).allowed(10**9, 5.0) == 10**9
