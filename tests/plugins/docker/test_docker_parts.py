"""The docker driver's pure parts: notations, log frames and positions, credentials, progress, what answers mean."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.docker_driver import auth
from plugins.docker_driver.config import AuthBlock
from plugins.docker_driver.dangling import dangling_ids
from plugins.docker_driver.facts import CpuMeter, exit_result, start_error
from plugins.docker_driver.logframes import (
    MESSAGE_BYTES,
    FrameError,
    FrameReader,
    LineReader,
    Position,
    Resume,
    Seen,
    stamp_to_unix,
)
from plugins.docker_driver.logpump import PositionFile
from plugins.docker_driver.pull import Progress, pull_error
from plugins.docker_driver.settings import AuthSettings
from plugins.docker_driver.stream import Address, EngineDown, EngineError, refusal
from plugins.docker_driver.units import duration_s, full_name, registry_of, size_bytes, split_image


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5m", 300), ("1h30m", 5400), ("250ms", 0.25), ("1.5s", 1.5), ("0", 0), ("1m0s", 60)],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "-5m", "5x", "5mm", "1h,"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        duration_s(text)


def test_sizes() -> None:
    assert [size_bytes(text) for text in ("10", "64m", "1G", "2kb", "1gib")] == [
        10,
        64 << 20,
        1 << 30,
        2048,
        1 << 30,
    ]
    with pytest.raises(ValueError, match="expected a size"):
        size_bytes("big")


@pytest.mark.parametrize(
    ("name", "repository", "tag", "registry"),
    [
        ("redis", "redis", "latest", "https://index.docker.io/v1/"),
        ("redis:3.2", "redis", "3.2", "https://index.docker.io/v1/"),
        ("team/app:1", "team/app", "1", "https://index.docker.io/v1/"),
        ("localhost/app", "localhost/app", "latest", "localhost"),
        ("127.0.0.1:5000/app", "127.0.0.1:5000/app", "latest", "127.0.0.1:5000"),
        ("127.0.0.1:5000/a/b:2", "127.0.0.1:5000/a/b", "2", "127.0.0.1:5000"),
        ("quay.io/x@sha256:ab", "quay.io/x", "sha256:ab", "quay.io"),
        ("quay.io/x:1@sha256:ab", "quay.io/x", "sha256:ab", "quay.io"),
    ],
)
def test_image_names(name: str, repository: str, tag: str, registry: str) -> None:
    assert split_image(name) == (repository, tag)
    assert registry_of(name) == registry
    assert split_image(full_name(name)) == (repository, tag)


def stamp(number: int) -> str:
    return f"2026-01-02T03:04:05.{number:09d}Z"


def frame(kind: int, number: int, text: str) -> bytes:
    payload = f"{stamp(number)} {text}".encode()
    return bytes([kind, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


MESSAGES = [(1, 1, "a\n"), (2, 2, "err\n"), (1, 3, "long-1"), (1, 3, "long-2\n"), (1, 4, ""), (2, 4, "x y\n")]


@given(st.lists(st.integers(0, 300), max_size=8))
def test_frames_come_out_however_they_are_cut(cuts: list[int]) -> None:
    whole = b"".join(frame(*message) for message in MESSAGES)
    reader = FrameReader()
    found = []
    edges = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
    for start, end in zip(edges, edges[1:], strict=False):
        found += reader.feed(whole[start:end])
    kinds = {1: "stdout", 2: "stderr"}
    assert [(m.stream, m.stamp, m.data.decode()) for m in found] == [
        (kinds[kind], stamp(number), text) for kind, number, text in MESSAGES
    ]


@given(st.integers(0, len(MESSAGES)), st.integers(0, len(MESSAGES)))
def test_a_resumed_stream_gives_each_message_once(first: int, back: int) -> None:
    """Break after `first` messages; the engine begins again at or before the position's time."""
    before = Resume(Position())
    got = before.accept(FrameReader().feed(b"".join(frame(*m) for m in MESSAGES[:first])))
    position = before.position
    at = min((number for _, number, _ in MESSAGES[:first]), default=0) if back else 0
    again = [m for m in MESSAGES if m[1] >= at]
    rest = Resume(position).accept(FrameReader().feed(b"".join(frame(*m) for m in again)))
    for name, kind in (("stdout", 1), ("stderr", 2)):
        whole = "".join(text for k, _, text in MESSAGES if k == kind)
        assert (got.get(name, b"") + rest.get(name, b"")).decode() == whole  # type: ignore[call-overload]


def test_frames_that_are_none() -> None:
    with pytest.raises(FrameError):
        FrameReader().feed(b"HTTP/1.1 200 OK\r\n")


def test_a_terminals_lines() -> None:
    reader = LineReader()
    long = "x" * MESSAGE_BYTES
    data = f"{stamp(1)} a\r\n{stamp(2)} {long}{stamp(3)} rest\n{stamp(4)} no end".encode()
    found = []
    for start in range(0, len(data), 1000):
        found += reader.feed(data[start : start + 1000])
    found += reader.finish()
    assert [m.data.decode() for m in found] == ["a\r\n", long, "rest\n", "no end"]


def test_times_for_the_engine() -> None:
    assert stamp_to_unix("1970-01-01T00:01:00.000000005Z") == "60.000000005"
    assert Position().since() == ""
    assert Position(Seen(stamp(5), 1), Seen(stamp(3), 1)).since().endswith(".000000003")


def test_position_file(tmp_path: Path) -> None:
    file = PositionFile(tmp_path / "p.json")
    assert file.load() == Position()
    long, short = Position(Seen(stamp(1), 1000), Seen(stamp(2), 20)), Position(Seen(stamp(1), 1))
    for position in (long, short):
        file.store(position)
        assert file.load() == position
    file.close()
    (tmp_path / "p.json").write_text("{broken")
    assert file.load() == Position()


def header(image: str, block: AuthBlock | None = None, **settings: str) -> dict[str, Any] | None:
    found = auth.registry_header(image, block, AuthSettings(**settings))
    return json.loads(base64.urlsafe_b64decode(found)) if found else None


def test_credentials_of_the_block() -> None:
    assert header("a") is None
    assert header("r.io/a", AuthBlock(username="u", password="p")) == {
        "username": "u",
        "password": "p",
        "email": "",
        "serveraddress": "r.io",
    }


def test_credentials_of_a_file(tmp_path: Path) -> None:
    secret = base64.b64encode(b"u:p:q").decode()
    path = tmp_path / "config.json"
    path.write_text(
        json.dumps(
            {
                "auths": {
                    "https://r.io/v2/": {"auth": secret},
                    "bad.io": {"auth": "%%"},
                    "tok.io": {"identitytoken": "t"},
                }
            }
        )
    )
    file = str(path)
    assert header("r.io/a", config=file) == {"username": "u", "password": "p:q", "serveraddress": "r.io"}
    assert header("tok.io/a", config=file) == {"identitytoken": "t", "serveraddress": "tok.io"}
    assert header("other.io/a", config=file) is None
    assert header("redis", config=file) is None
    with pytest.raises(auth.AuthError, match="not base64"):
        header("bad.io/a", config=file)
    with pytest.raises(auth.AuthError, match="cannot read the registry credentials file"):
        header("r.io/a", config=str(tmp_path / "missing"))


def test_credentials_of_a_helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        "#!/bin/sh\nread host\ncase $host in\n"
        'r.io) echo \'{"Username": "u", "Secret": "s"}\' ;;\n'
        'tok.io) echo \'{"Username": "<token>", "Secret": "s"}\' ;;\n'
        "odd.io) echo nonsense ;;\n"
        "down.io) echo 'store is locked'; exit 1 ;;\n"
        "*) echo 'credentials not found in native keychain'; exit 1 ;;\nesac\n"
    )
    helper = tmp_path / "docker-credential-toy"
    helper.write_text(script)
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert header("r.io/a", helper="toy") == {"username": "u", "password": "s", "serveraddress": "r.io"}
    assert header("tok.io/a", helper="toy") == {"identitytoken": "s", "serveraddress": "tok.io"}
    assert header("x.io/a", helper="toy") is None
    for host, why in (("odd.io", "no credentials"), ("down.io", "store is locked")):
        with pytest.raises(auth.AuthError, match=why):
            header(f"{host}/a", helper="toy")
    with pytest.raises(auth.AuthError, match="could not be run"):
        header("r.io/a", helper="missing")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"credHelpers": {"r.io": "toy"}}))
    assert header("r.io/a", config=str(config)) == {"username": "u", "password": "s", "serveraddress": "r.io"}


def test_pull_progress() -> None:
    progress = Progress()
    lines: list[tuple[dict[str, Any], bool]] = [
        ({"status": "Pulling from x", "id": "3.2"}, True),
        (
            {
                "status": "Downloading",
                "id": "l1",
                "progressDetail": {"current": 1_000_000, "total": 4_000_000},
            },
            True,
        ),
        (
            {
                "status": "Downloading",
                "id": "l1",
                "progressDetail": {"current": 1_000_000, "total": 4_000_000},
            },
            False,
        ),
        ({"status": "Pull complete", "id": "l2", "progressDetail": {}}, True),
    ]
    for line, moved in lines:
        assert progress.feed(line) is moved
    assert progress.summary() == "1 of 2 layers, downloading 1.0 of 4.0 MB"
    progress.feed({"error": "short", "errorDetail": {"message": "the whole story"}})
    assert progress.error == "the whole story"


@pytest.mark.parametrize(
    ("text", "words", "recoverable"),
    [
        ("manifest for x:9 not found: manifest unknown", "is not in its registry", False),
        ("unauthorized: authentication required", "was refused .the registry may want an auth block", False),
        ("dial tcp: lookup r.io: no such host", "failed", True),
        ("toomanyrequests: rate limit", "failed", True),
    ],
)
def test_pull_errors(text: str, words: str, recoverable: bool) -> None:
    import re

    error = pull_error("x:9", text, has_auth=False)
    assert re.search(words, error.message)
    assert error.recoverable is recoverable
    assert text in error.message


@pytest.mark.parametrize(
    ("error", "words", "recoverable"),
    [
        (
            EngineError("driver failed: Bind for 0.0.0.0:80 failed: port is already allocated", status=500),
            "0.0.0.0:80 is taken by another program",
            True,
        ),
        (EngineError('exec: "x": executable file not found in $PATH', status=400), "not in image img", False),
        (EngineError("No command specified", status=400), "has no command of its own", False),
        (EngineError("No such image: sha256:1", status=404), "has gone", True),
        (EngineError("network mine not found", status=404), "no such network", False),
        (EngineError("invalid mount", status=400), "refused the container: invalid mount", False),
        (EngineDown("cannot reach"), "cannot reach", True),
    ],
)
def test_start_errors(error: Any, words: str, recoverable: bool) -> None:
    found = start_error(error, "img")
    assert words in found.message
    assert found.recoverable is recoverable


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"Running": True}, None),
        ({"Status": "exited", "ExitCode": 3}, (3, False, "")),
        ({"Status": "exited", "ExitCode": 137, "OOMKilled": True}, (137, True, "")),
        ({"Status": "exited", "ExitCode": 0, "OOMKilled": True}, (0, False, "")),
        ({"Status": "created"}, (0, False, "the container was never started: no reason known")),
    ],
)
def test_how_a_container_ended(state: dict[str, Any], expected: Any) -> None:
    found = exit_result({"State": state})
    assert expected == (found and (found.exit_code, found.oom_killed, found.error))


@pytest.mark.parametrize(("code", "number"), [(137, 9), (143, 15), (128, 0), (255, 0), (1, 0)])
def test_the_signal_in_an_exit_code(code: int, number: int) -> None:
    found = exit_result({"State": {"Status": "exited", "ExitCode": code}})
    assert found is not None
    assert (found.exit_code, found.signal) == (code, number)


def test_cpu_percent_from_two_samples() -> None:
    meter = CpuMeter()
    sample: dict[str, Any] = {
        "cpu_stats": {"cpu_usage": {"total_usage": 10**9}},
        "memory_stats": {"usage": 500},
    }
    assert meter.read(sample, 10**9).cpu_percent == 0
    sample["cpu_stats"]["cpu_usage"]["total_usage"] = 15 * 10**8
    found = meter.read(sample, 2 * 10**9)
    assert (found.cpu_percent, found.memory_rss_bytes, found.cpu_total_ns) == (50.0, 500, 15 * 10**8)
    assert meter.read({}, 3 * 10**9).cpu_total_ns == 0


def test_what_counts_as_dangling() -> None:
    label = "encamp.task_id"
    listed = [
        {"Id": "known", "Created": 0, "Labels": {label: "a"}},
        {"Id": "young", "Created": 950, "Labels": {label: "b"}},
        {"Id": "old", "Created": 100, "Labels": {label: "c"}},
        {"Id": "odd", "Created": 100, "Labels": None},
    ]
    assert dangling_ids(listed, lambda task: task == "a", 60, 1000) == ["old", "odd"]


def test_addresses_and_refusals() -> None:
    assert Address(url="unix:///x/y.sock").socket_path == "/x/y.sock"
    assert Address(url="tcp://h:1").socket_path == ""
    assert refusal(404, b'{"message":"No such thing"}').message == "No such thing"
    assert refusal(500, b"<html>").message == "<html>"
    assert refusal(500, b"").recoverable
