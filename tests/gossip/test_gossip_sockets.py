"""Real sockets: twenty members on loopback addresses, kills, pauses, firewalls, rotation, hostile bytes."""

from __future__ import annotations

import asyncio
import base64
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gossip import (
    Config,
    EventKind,
    Gossip,
    GossipError,
    JoinFailed,
    NotRunning,
    RotationIncomplete,
    Status,
    TooLarge,
    limits,
)
from gossip.core.keys import fingerprint
from gossip.memory.links import Links
from gossip.memory.transport import Fabric
from gossip.shell.transport import StreamFailed, Transport
from gossip.shell.udp import UdpTransport
from tests.gossip.socketkit import FAST, Process, at, config, living, status_of, until

KEY, NEW = b"k" * 32, b"n" * 32


@pytest.fixture
async def members() -> AsyncIterator[list[Gossip]]:
    """Whatever is put in here is closed at the end."""
    made: list[Gossip] = []
    yield made
    for member in made:
        await member.close()


async def start(members: list[Gossip], *configs: Config) -> list[Gossip]:
    for wanted in configs:
        member = Gossip(wanted, seed=len(members))
        members.append(member)
        await member.start()
        if len(members) > 1:
            await member.join([at(members[0])])
    return members


# ---- the contract of transports


@pytest.fixture(params=["memory", "udp"])
def pair(request: pytest.FixtureRequest) -> tuple[Transport, Transport]:
    if request.param == "memory":
        fabric = Fabric(Links(random.Random(1)))
        return fabric.transport(), fabric.transport()
    return (
        UdpTransport("127.0.0.1", 0, stream_timeout_s=2.0),
        UdpTransport("127.0.0.1", 0, stream_timeout_s=2.0),
    )


async def test_transports_keep_the_contract(pair: tuple[Transport, Transport]) -> None:
    one, two = pair
    got: list[tuple[bytes, tuple[str, int]]] = []
    frame = b"\xf4\x01x\x20\x00\x00\x00\x03abc"

    async def echo(data: bytes, source: tuple[str, int]) -> bytes | None:
        return data if data == frame else None

    head = b"\xf4\x01x"
    here = await one.open(lambda data, source: None, echo, head)
    there = await two.open(lambda data, source: got.append((data, source)), echo, head)
    try:
        assert one.send(there, b"hello")
        await until(lambda: bool(got), 2.0)
        assert got == [(b"hello", here)]
        one.send(there, b"y" * 3000)
        await until(lambda: len(got) == 2, 2.0)
        assert len(got[1][0]) == limits.PACKET_BYTES_MAX + 1  # cut, and seen to be too large
        assert await one.exchange(there, frame, 2.0) == frame
        with pytest.raises(StreamFailed):
            await one.exchange(there, frame[:-1] + b"z", 2.0)  # closed without an answer
        with pytest.raises(StreamFailed):
            await one.exchange(there, b"\xf4\x01y\x20\x00\x00\x00\x03abc", 2.0)  # another label
        assert two.streams_refused >= 1
        await two.close()
        await two.close()
        with pytest.raises(StreamFailed):
            await one.exchange(there, frame, 2.0)
    finally:
        await one.close()
        await two.close()


# ---- one loop


@pytest.mark.slow
async def test_twenty_members_see_each_other_and_a_leave(members: list[Gossip]) -> None:
    await start(members, *(config(number, keys=(KEY,)) for number in range(20)))
    everybody = {f"m{number}" for number in range(20)}
    await until(lambda: all(living(member) == everybody for member in members), 10.0)
    members[0].set_tags({"role": "db"})
    members[3].user_event("deploy", b"7")
    members[5].on_query(lambda name, payload, source: payload[::-1])
    result = await members[7].query("reverse", b"abc", nodes=("m5",))
    assert [(reply.name, reply.payload) for reply in result.replies] == [("m5", b"cba")]
    await members[19].leave()
    await until(lambda: all(status_of(member, "m19") is Status.LEFT for member in members[:19]), 10.0)
    assert all(member.metrics().buried == 0 for member in members[:19])
    with pytest.raises(NotRunning):
        members[19].members()


async def test_a_slow_reader_is_told_to_start_anew(members: list[Gossip]) -> None:
    await start(members, config(0), config(1))
    feed = members[0].events()
    for number in range(limits.FEED_EVENTS_MAX + 10):
        members[0].user_event("e", b"%d" % number)
    assert members[0].metrics().feeds_resynced == 1
    first = await anext(feed)
    assert first.kind is EventKind.RESYNC
    assert living(members[0]) == {"m0", "m1"}
    feed.close()
    with pytest.raises(StopAsyncIteration):
        await anext(feed)


@pytest.mark.slow
async def test_keys_rotate_under_load(members: list[Gossip], tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    await start(
        members,
        config(0, keys=(KEY,), keyring_path=str(path)),
        *(config(n, keys=(KEY,)) for n in range(1, 5)),
    )
    await until(lambda: all(len(living(member)) == 5 for member in members), 5.0)
    stop = asyncio.Event()

    async def load() -> None:
        count = 0
        while not stop.is_set():
            count += 1
            members[count % 5].user_event("load", b"%d" % count)
            await asyncio.sleep(0.01)

    task = asyncio.create_task(load())
    try:
        assert await members[2].keyring.rotate(NEW) == 5
    finally:
        stop.set()
        await task
    for member in members:
        assert member.keyring.fingerprints == (fingerprint(NEW),)
        assert member.metrics().buried == 0
    assert path.stat().st_mode & 0o777 == 0o600 and base64.b64encode(NEW).decode() in path.read_text()
    await members[4].close()
    await until(lambda: status_of(members[0], "m4") is Status.FAILED, 10.0)
    with pytest.raises(RotationIncomplete, match="m4"):
        await members[0].keyring.rotate(KEY)


async def test_hostile_bytes_are_dropped_counted_and_never_answered(members: list[Gossip]) -> None:
    await start(members, config(0, keys=(KEY,)))
    target = members[0].address
    rng = random.Random(1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hostile:
        hostile.bind(("127.0.0.1", 0))
        hostile.setblocking(False)
        for _ in range(200):
            hostile.sendto(rng.randbytes(rng.randrange(0, 2000)), target)
        await until(lambda: sum(members[0].metrics().decode_errors.values()) >= 100, 5.0)
        with pytest.raises(BlockingIOError):
            hostile.recv(100)
    for data in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xf4\x04test\x0a\x7f\xff\xff\xff",
        b"\xf4\x04test\x0a\x00\x00\x00\x20" + b"x" * 32,
    ):
        reader, writer = await asyncio.open_connection(*target)
        writer.write(data)
        writer.write_eof()
        try:
            assert await asyncio.wait_for(reader.read(), 5.0) == b""
        except ConnectionResetError:
            pass  # closed without a word, with bytes unread
        writer.close()
    assert members[0].metrics().streams_refused >= 2
    assert living(members[0]) == {"m0"}


async def test_too_many_streams_are_closed_at_once(members: list[Gossip]) -> None:
    await start(members, config(0))
    held = [await asyncio.open_connection(*members[0].address) for _ in range(limits.STREAMS_INBOUND_MAX + 3)]
    try:
        await until(lambda: members[0].metrics().streams_refused >= 3, 5.0)
    finally:
        for _, writer in held:
            writer.close()
    await start(members, config(1))  # there is room again
    assert living(members[0]) == {"m0", "m1"}


async def test_joins_say_why_they_failed(members: list[Gossip]) -> None:
    await start(members, config(0))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(JoinFailed) as caught:
        await members[0].join([closed, "no.such.host.invalid"])
    assert "connect" in caught.value.failures[closed]
    assert "resolve" in caught.value.failures["no.such.host.invalid"]
    stranger = Gossip(config(1, label="other"))
    members.append(stranger)
    await stranger.start()
    with pytest.raises(JoinFailed):
        await stranger.join([at(members[0])])
    taken = Gossip(
        config(2, host=members[0].address[0]).__class__(
            name="x", host=members[0].address[0], port=members[0].address[1]
        )
    )
    with pytest.raises(OSError, match="cannot listen"):
        await taken.start()
    with pytest.raises(TooLarge):
        members[0].user_event("e", b"x" * 600)


@pytest.mark.slow
async def test_a_restart_with_the_same_name_and_a_new_address(members: list[Gossip]) -> None:
    """Without a lasting id: refused until its former life is buried and its name free; then back."""
    await start(members, config(0), config(1), config(2))
    await members[2].close()
    again = Gossip(config(2, host="127.0.1.77"))
    members.append(again)
    await again.start()
    with pytest.raises(JoinFailed, match="held by"):
        await again.join([at(members[0])])
    await asyncio.wait_for(again.join_until([at(members[0])], first_s=0.3, max_s=0.5), 20.0)
    live = [members[0], members[1], again]
    await until(lambda: all(living(member) == {"m0", "m1", "m2"} for member in live), 10.0)
    host = next(member.host for member in members[1].members() if member.name == "m2")
    assert host == "127.0.1.77"


@pytest.mark.slow
async def test_a_snapshot_brings_a_member_back_by_itself(members: list[Gossip], tmp_path: Path) -> None:
    path = str(tmp_path / "snapshot")
    await start(members, config(0), config(1, snapshot_path=path))
    await members[1].close()
    assert "alive: m0" in Path(path).read_text()
    back = Gossip(config(1, snapshot_path=path))
    members.append(back)
    await back.start()
    await until(lambda: living(back) == {"m0", "m1"}, 10.0)
    await back.leave()
    assert Path(path).read_text().rstrip().endswith("leave")
    alone = Gossip(config(1, snapshot_path=path))
    members.append(alone)
    await alone.start()
    assert living(alone) == {"m1"}


async def test_members_meet_in_memory_too(members: list[Gossip]) -> None:
    fabric = Fabric(Links(random.Random(1), loss=0.05))
    for number in range(3):
        member = Gossip(config(number), transport=fabric.transport(), seed=number)
        members.append(member)
        await member.start()
        if number:
            await member.join([at(members[0])])
    await until(lambda: all(len(living(member)) == 3 for member in members), 5.0)


# ---- processes


def run_processes(count: int, port: int, prefix: tuple[str, ...] = ()) -> list[Process]:
    """Members p0, p1 ... that join through the first one."""
    return [
        Process(
            *("--name", f"p{number}", "--bind", f"127.0.2.{number + 1}:{port}", "--preset", "local"),
            *("--join", f"127.0.2.1:{port}"),
            prefix=prefix,
        )
        for number in range(count)
    ]


def free_port() -> int:
    """A port that is free on the first process's address now."""
    with socket.socket() as probe:
        probe.bind(("127.0.2.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
async def test_killed_and_paused_processes(members: list[Gossip]) -> None:
    """kill -9 is seen as a failure; SIGSTOP for 20 s buries the sleeper only, and it comes back; SIGTERM leaves."""
    processes = run_processes(5, free_port())
    try:
        everybody = {f"p{number}" for number in range(5)}

        def joined() -> bool:
            return all(
                all(process.has(event="join", member=name) for name in everybody - {f"p{number}"})
                for number, process in enumerate(processes)
            )

        await until(joined, 20.0)
        processes[4].signal(signal.SIGKILL)
        await until(lambda: all(p.has(event="failed", member="p4") for p in processes[:4]), 20.0)
        processes[3].signal(signal.SIGSTOP)
        stopped_at = time.monotonic()
        await until(lambda: all(p.has(event="failed", member="p3") for p in processes[:3]), 19.0)
        await until(lambda: time.monotonic() - stopped_at >= 20.0, 21.0)
        before = [len(process.read()) for process in processes[:3]]
        processes[3].signal(signal.SIGCONT)

        def back() -> bool:
            return all(
                any(line["event"] == "join" and line["member"] == "p3" for line in process.read()[start:])
                for process, start in zip(processes[:3], before, strict=True)
            )

        await until(back, 20.0)
        for process in processes[:4]:
            for name in ("p0", "p1", "p2"):
                assert not process.has(event="failed", member=name), "somebody was buried with the sleeper"
        processes[2].signal(signal.SIGTERM)
        assert await asyncio.to_thread(processes[2].wait, 10.0) == 0
        await until(lambda: all(p.has(event="left", member="p2") for p in (processes[0], processes[1])), 10.0)
    finally:
        for process in processes:
            process.close()


@pytest.fixture
def namespace() -> object:
    if os.geteuid() != 0:
        pytest.skip("needs to be root")
    name = f"gossip-{os.getpid()}-{random.randrange(1 << 20)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.parametrize("blocked", ["udp", pytest.param("tcp", marks=pytest.mark.long)])
async def test_trap_09_a_firewall_blocks_one_protocol(namespace: str, blocked: str) -> None:
    """Packets or streams to one member are dropped by the kernel for 10 s; nobody is buried."""
    inside = ("ip", "netns", "exec", namespace)
    processes = run_processes(4, 17946, inside)
    try:
        everybody = [f"p{number}" for number in range(4)]

        def joined() -> bool:
            return all(
                process.has(event="join", member=name)
                for number, process in enumerate(processes)
                for name in everybody
                if name != f"p{number}"
            )

        await until(joined, 20.0)
        rule = ["INPUT", "-p", blocked, "-d", "127.0.2.2", "--dport", "17946", "-j", "DROP"]
        subprocess.run([*inside, "iptables", "-A", *rule], check=True)
        started = time.monotonic()
        await until(lambda: time.monotonic() - started > 10.0, 15.0)
        for process in processes:
            for name in everybody:
                assert not process.has(event="failed", member=name)
        subprocess.run([*inside, "iptables", "-D", *rule], check=True)
    finally:
        for process in processes:
            process.close()


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    for arguments, text in (
        (["--name", "a b", "--bind", "127.0.0.1:0"], "name must be"),
        (["--name", "a", "--bind", "nowhere:0"], "IP address"),
        (["--name", "a", "--bind", "127.0.0.1:x"], "invalid literal"),
        (["--name", "a", "--bind", "127.0.0.1:0", "--key", "QUJD"], "16, 24 or 32"),
    ):
        process = Process(*arguments)
        try:
            assert process.wait(20.0) == 1
            assert process._process.stderr is not None
            assert text in process._process.stderr.read()
        finally:
            process.close()


def test_configuration_errors_name_all_fields() -> None:
    import msgspec

    bad = msgspec.structs.replace(FAST, probing=msgspec.structs.replace(FAST.probing, timeout_s=9.0))
    with pytest.raises(GossipError) as caught:
        Gossip(Config(name="", host="x", port=70000, timing=bad, tags={}, required_tags={"a": "b"}))
    for part in ("name must", "host must", "port must", "timeout_s", "required_tags"):
        assert part in str(caught.value)
