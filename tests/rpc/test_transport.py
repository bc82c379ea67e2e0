"""Real ZeroMQ sockets: calls, errors, streams with credit, lost peers, and the blocking client."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemon.model.errors import DeadlineExceeded, InvalidInput, NotFound, Unavailable
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.rpc.address import Address, candidates, parse_address
from daemon.rpc.blocking import Connection
from daemon.rpc.client import Client
from daemon.rpc.dispatch import Caller, Dispatcher
from daemon.rpc.frames import STREAM_CREDIT, Header, Kind
from daemon.rpc.listener import Listener
from daemon.rpc.stream import Stream


class World:
    """A server with a few methods, and a note of what happened in it."""

    def __init__(self) -> None:
        self.callers: list[Caller] = []
        self.cancelled = asyncio.Event()
        self.sent = 0
        dispatcher = Dispatcher()
        dispatcher.serve(methods.STATUS_LEADER, self.leader)
        dispatcher.serve(methods.JOB_GET, self.missing)
        dispatcher.serve(methods.AGENT_SELF, self.hang)
        dispatcher.serve_stream(methods.FS_LOGS, self.logs)
        dispatcher.serve_stream(methods.ALLOC_EXEC, self.echo)
        self.listener = Listener(dispatcher)

    async def leader(self, request: m.Query, caller: Caller) -> m.LeaderResponse:
        self.callers.append(caller)
        return m.LeaderResponse(leader="here", index=7)

    async def missing(self, request: m.IdQuery, caller: Caller) -> m.JobResponse:
        raise NotFound(f"no job {request.id!r}", id=request.id)

    async def hang(self, request: m.Query, caller: Caller) -> m.AgentSelfResponse:
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        raise AssertionError

    async def logs(self, request: m.LogsRequest, stream: Stream, caller: Caller) -> None:
        try:
            for number in range(request.offset):
                await stream.send(b"%d" % number)
                self.sent += 1
            if request.follow:
                await asyncio.Event().wait()
        finally:
            self.cancelled.set()

    async def echo(self, request: m.ExecRequest, stream: Stream, caller: Caller) -> None:
        while (data := await stream.recv()) is not None:
            await stream.send(data)
        stream.end()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    await world.listener.start(parse_address("tcp://127.0.0.1:0"))
    yield world
    await world.listener.close()


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    client = Client(parse_address(world.listener.address))
    await client.start()
    yield client
    await client.close()


async def test_a_call_is_answered(world: World, client: Client) -> None:
    answer = await client.call(methods.STATUS_LEADER, m.Query())
    assert (answer.leader, answer.index) == ("here", 7)
    assert world.callers[0].transport == "tcp"


async def test_an_error_arrives_as_its_class(client: Client) -> None:
    with pytest.raises(NotFound, match="no job 'x'") as caught:
        await client.call(methods.JOB_GET, m.IdQuery(id="x"))
    assert caught.value.details == {"id": "x"}


async def test_a_deadline_ends_the_call_on_both_sides(world: World, client: Client) -> None:
    with pytest.raises(DeadlineExceeded, match=r"Agent\.Self"):
        await client.call(methods.AGENT_SELF, m.Query(), timeout_s=0.05)
    await asyncio.wait_for(world.cancelled.wait(), 5)


async def test_an_unserved_method_is_refused(client: Client) -> None:
    with pytest.raises(NotFound, match=r"does not serve Node\.List"):
        await client.call(methods.NODE_LIST, m.Query())


async def test_a_thousand_calls_at_once(client: Client) -> None:
    calls = [client.call(methods.STATUS_LEADER, m.Query(), timeout_s=30) for _ in range(1000)]
    answers = await asyncio.gather(*calls)
    assert {answer.leader for answer in answers} == {"here"}


async def test_a_slow_reader_slows_the_writer(world: World, client: Client) -> None:
    request = m.LogsRequest(id="a", task="t", offset=500)
    async with client.stream(methods.FS_LOGS, request) as stream:
        first = await asyncio.wait_for(stream.recv(), 5)
        for _ in range(50):
            await asyncio.sleep(0.001)
        assert world.sent <= 2 * STREAM_CREDIT
        rest = []
        while (data := await asyncio.wait_for(stream.recv(), 5)) is not None:
            rest.append(data)
    assert first == b"0"
    assert rest == [b"%d" % n for n in range(1, 500)]


async def test_leaving_a_stream_cancels_its_handler(world: World, client: Client) -> None:
    async with client.stream(
        methods.FS_LOGS, m.LogsRequest(id="a", task="t", offset=1, follow=True)
    ) as stream:
        assert await asyncio.wait_for(stream.recv(), 5) == b"0"
    await asyncio.wait_for(world.cancelled.wait(), 5)


async def test_a_stream_goes_both_ways(client: Client) -> None:
    async with client.stream(methods.ALLOC_EXEC, m.ExecRequest(id="a", task="t", command=("x",))) as stream:
        got = []
        for number in range(200):
            await stream.send(b"%d" % number)
            got.append(await asyncio.wait_for(stream.recv(), 5))
        stream.end()
        assert await asyncio.wait_for(stream.recv(), 5) is None
    assert got == [b"%d" % n for n in range(200)]


async def test_the_server_calls_its_caller_back(world: World) -> None:
    async def stats(request: m.Query, caller: Caller) -> m.LeaderResponse:
        return m.LeaderResponse(leader="the node")

    mine = Dispatcher()
    mine.serve(methods.STATUS_LEADER, stats)
    client = Client(parse_address(world.listener.address), mine)
    await client.start()
    try:
        await client.call(methods.STATUS_LEADER, m.Query())
        peer = world.listener.peer(world.callers[0].peer)
        assert peer is not None
        answer = await peer.call(methods.STATUS_LEADER, m.Query())
        assert answer.leader == "the node"
    finally:
        await client.close()


async def test_a_lost_server_fails_the_calls_in_flight(world: World, client: Client) -> None:
    call = asyncio.ensure_future(client.call(methods.AGENT_SELF, m.Query(), timeout_s=60))
    await client.call(methods.STATUS_LEADER, m.Query())
    await world.listener.close()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(call, 10)


async def test_garbage_is_dropped(world: World, client: Client) -> None:
    for parts in ([b"x", b"y"], [b""], [b"\xc1" * 100, b"", b"z"], [os.urandom(200), os.urandom(200)]):
        client._pumps[-1].send(parts)
    assert (await client.call(methods.STATUS_LEADER, m.Query())).leader == "here"


async def test_the_blocking_client(world: World) -> None:
    def use() -> list[bytes]:
        with Connection.open(world.listener.address) as connection:
            assert connection.call(methods.STATUS_LEADER, m.Query()).leader == "here"
            with pytest.raises(NotFound):
                connection.call(methods.JOB_GET, m.IdQuery(id="x"))
            with pytest.raises(DeadlineExceeded):
                connection.call(methods.AGENT_SELF, m.Query(), timeout_s=0.05)
            frames = []
            with connection.stream(methods.FS_LOGS, m.LogsRequest(id="a", task="t", offset=300)) as stream:
                while (data := stream.recv(10)) is not None:
                    frames.append(data)
            with connection.stream(
                methods.ALLOC_EXEC, m.ExecRequest(id="a", task="t", command=("x",))
            ) as stream:
                stream.send(b"hello")
                ready, fds = stream.poll([], 5)
                assert (ready, fds) == (True, [])
                assert stream.recv(5) == b"hello"
                with pytest.raises(TimeoutError):
                    stream.recv(0.01)
                stream.close_sending()
                assert stream.recv(5) is None
            return frames

    frames = await asyncio.to_thread(use)
    assert frames == [b"%d" % n for n in range(300)]


async def test_nobody_there_says_what_to_do() -> None:
    with pytest.raises(Unavailable, match="start one with `encamp agent -dev`"):
        await asyncio.to_thread(Connection.open, "127.0.0.1:1", timeout_s=2)


async def test_an_ipc_socket_is_private_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "run" / "agent.sock"
    world = World()
    await world.listener.start(Address("ipc", str(path)))
    try:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with await asyncio.to_thread(Connection.open, f"ipc://{path}") as connection:
            answer = await asyncio.to_thread(connection.call, methods.STATUS_LEADER, m.Query())
        assert answer.leader == "here"
        assert world.callers[0].transport == "ipc"
    finally:
        await world.listener.close()
    assert not path.exists()


async def test_a_taken_port_names_the_key(world: World) -> None:
    other = World()
    with pytest.raises(Unavailable, match=r"ports\.rpc"):
        await other.listener.start(parse_address(world.listener.address))
    await other.listener.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:5000", "tcp://127.0.0.1:5000"),
        ("tcp://127.0.0.1", "tcp://127.0.0.1:4647"),
        ("[::1]:9", "tcp://[::1]:9"),
        ("unix:///run/x.sock", "ipc:///run/x.sock"),
        ("localhost", "tcp://localhost:4647"),
    ],
)
def test_forms_of_addresses(text: str, expected: str) -> None:
    assert str(parse_address(text)) == expected


@pytest.mark.parametrize("text", ["", "http://x:1", "ipc://relative", "host:99999", ":5", "host:x"])
def test_bad_addresses(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_address(text)


def test_addresses_beyond_loopback_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no encryption"):
        parse_address("10.0.0.1:4647").refuse_beyond_loopback()
    parse_address("127.9.9.9:1").refuse_beyond_loopback()


def test_the_order_in_which_an_agent_is_looked_for() -> None:
    assert [str(a) for a in candidates("h:1", {"ENCAMP_ADDR": "127.0.0.1:2"})] == ["tcp://h:1"]
    assert [str(a) for a in candidates(None, {"ENCAMP_ADDR": "127.0.0.1:2"})] == ["tcp://127.0.0.1:2"]
    assert str(list(candidates(None, {"NOMAD_ADDR": "http://1.2.3.4:4646"}))[-1]) == "tcp://127.0.0.1:4647"


async def test_an_overrun_of_credit_ends_the_connection(world: World, client: Client) -> None:
    async with client.stream(methods.ALLOC_EXEC, m.ExecRequest(id="a", task="t", command=("x",))) as stream:
        await stream.send(b"x")
        for _ in range(1000):
            client._live()._send(Header(Kind.DATA, True, stream._call_id), b"flood")
        deadline = asyncio.get_running_loop().time() + 5
        while world.listener._peers and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        assert not world.listener._peers
