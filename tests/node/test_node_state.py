"""Local state, collection, full disks, reboots, and starts that are broken off."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path

import pytest

from daemon.model.alloc import Allocation
from daemon.model.enums import ClientStatus, JobType
from daemon.model.errors import Unavailable
from daemon.model.policies import SECOND, RestartPolicy
from daemon.model.tasks import EventType
from daemon.node.config import GcLimits
from daemon.node.disk import mounts
from daemon.node.gc import DiskUse, Ended, collectable, reason
from daemon.node.runner.records import AllocPhase, AllocRecord
from daemon.node.store import NodeStore, job_key
from tests.node.nodekit import Server, make_agent, make_job, make_task, running, until

JOB = make_job()


def alloc(alloc_id="a1", **facts):
    return Allocation(
        id=alloc_id, name="job.group[0]", job_id="job", task_group="group", node_id="n", **facts
    )


async def test_what_was_stored_is_read_back(tmp_path):
    path = tmp_path / "deep" / "state.db"
    store = NodeStore(path)
    store.open()
    await store.put_alloc(alloc("a2", create_index=2), JOB, AllocRecord())
    await store.put_alloc(alloc("a1", create_index=3), JOB, AllocRecord())
    await asyncio.gather(*(store.put_record("a1", AllocRecord(done_at_ns=n)) for n in range(100)))
    store.close()
    assert path.stat().st_mode & 0o777 == 0o600
    again = NodeStore(path)
    again.open()
    try:
        found = await again.load()
        assert [one.alloc.id for one in found] == ["a2", "a1"]
        assert found[1].record.done_at_ns == 99
        assert found[0].job == JOB
        await again.forget(["a1"], {job_key("default", "job", 0, 0)})
        assert [one.alloc.id for one in await again.load()] == ["a2"]
        await again.forget(["a2"], set())
        with sqlite3.connect(path) as connection:
            assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (0,)
        connection.close()
    finally:
        again.close()


async def test_a_damaged_row_is_named_and_a_damaged_file_refused(tmp_path):
    path = tmp_path / "state.db"
    store = NodeStore(path)
    store.open()
    await store.put_alloc(alloc(), JOB, AllocRecord())
    store.close()
    connection = sqlite3.connect(path)
    [data] = connection.execute("SELECT data FROM records").fetchone()
    connection.execute("UPDATE records SET data = ?", (data[:-1] + bytes([data[-1] ^ 1]),))
    connection.commit()
    connection.close()
    store = NodeStore(path)
    store.open()
    try:
        with pytest.raises(Unavailable, match=r"row 'a1' of table records fails its checksum; move it away"):
            await store.load()
    finally:
        store.close()
    path.write_bytes(b"not a database, " * 100)
    with pytest.raises(Unavailable, match="cannot be used"):
        NodeStore(path).open()


def ended(alloc_id, at, *, failed=False, group="g"):
    return Ended(alloc_id=alloc_id, group=("default", "job", group), failed=failed, done_at_ns=at)


def test_the_oldest_go_first_and_the_last_failed_of_each_group_stay():
    found = [
        ended("f1", 1, failed=True),
        ended("ok2", 2),
        ended("f3", 3, failed=True),
        ended("f4", 4, failed=True),
        ended("other", 0, failed=True, group="h"),
        ended("ok5", 5),
    ]
    assert [one.alloc_id for one in collectable(found, keep_failed=2)] == ["f1", "ok2", "ok5"]
    assert len(collectable(found, keep_failed=0)) == 6


@pytest.mark.parametrize(
    ("use", "allocs", "words"),
    [
        (DiskUse(disk_percent=81), 0, "81% of the disk"),
        (DiskUse(inode_percent=71), 0, "71% of the inodes"),
        (DiskUse(), 51, "holds 51 allocations"),
        (DiskUse(disk_percent=80, inode_percent=70), 50, ""),
    ],
)
def test_reasons_to_collect(use, allocs, words):
    found = reason(use, allocs, GcLimits())
    assert words in found and bool(words) == bool(found)


async def test_ended_allocations_are_collected_but_the_last_failed_are_kept(data_dir):
    server = Server()
    limits = GcLimits(allocs_max=3, keep_failed=1, disk_usage_percent=100, inode_usage_percent=100)
    async with running(data_dir, server, gc=limits) as agent:
        none = RestartPolicy(attempts=0)
        bad = make_job(
            make_task(config={"exit_code": 1}, restart_policy=none), type=JobType.BATCH, job_id="bad"
        )
        good = make_job(make_task(config={}), type=JobType.BATCH, job_id="good")
        failed = []
        for _ in range(2):  # one after the other, so that it is known which failed last
            failed.append(server.place(bad))
            await server.status(failed[-1], ClientStatus.FAILED)
            await until(agent.runners[failed[-1]].done.is_set)
        for _ in range(4):
            await server.status(server.place(good), ClientStatus.COMPLETE)
        agent._collector.wake()
        await until(lambda: len(agent.runners) <= 3)
        last = failed[-1]
        assert last in agent.runners
        assert len(os.listdir(data_dir / "alloc")) == len(agent.runners)
        await until(lambda: all(agent._reporter.is_told(id_) for id_ in agent.runners))
        await agent.collect_all()
        assert agent.runners == {} and os.listdir(data_dir / "alloc") == []


@pytest.mark.root
async def test_a_full_state_disk_starts_nothing_and_says_so(data_dir):
    state = data_dir / "state"
    state.mkdir()
    mounts.mount_tmpfs(state, size_mb=1, mode=0o700, uid=0, gid=0)
    server = Server()
    try:
        async with running(data_dir, server, state_dir=state) as agent:
            job = make_job(restart_policy=RestartPolicy(attempts=1000, delay_ns=SECOND // 20))
            before = server.place(job)
            await server.status(before, ClientStatus.RUNNING)
            filler = state / "filler"
            with pytest.raises(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 4096)
            alloc_id = server.place(job)
            # what SQLite has set aside may take a few more records
            others = [server.place(job) for _ in range(5)]
            states = lambda: server.allocs[others[-1]].task_states.get("web")  # noqa: E731
            await until(lambda: states() and "cannot be written" in str(states().events))
            assert states().state == "pending"
            server.stop(before)
            await server.status(before, ClientStatus.COMPLETE)
            filler.unlink()
            for one in (alloc_id, *others):
                await server.status(one, ClientStatus.RUNNING)
            assert len(agent.runners) == 7
    finally:
        mounts.unmount_below(state)


async def test_after_a_reboot_what_ran_starts_again_without_a_server(data_dir):
    server = Server()
    agent = make_agent(data_dir, server)
    await agent.start()
    await agent.ready.wait()
    job = make_job(restart_policy=RestartPolicy(attempts=0))
    alloc_id = server.place(job)
    await server.status(alloc_id, ClientStatus.RUNNING)
    await agent.stop(kill_tasks=False)
    (data_dir / "client" / "boot_id").write_text("another boot\n")
    server.away = True
    agent = make_agent(data_dir, server, raw_exec=False)
    forgetful(agent)
    await agent.start()
    try:
        task = agent.runners[alloc_id].core.tasks["web"]
        await until(lambda: task.record.phase == "running" and task.record.attempt == 2)
        assert task.record.window.count == 0
        texts = [event.display_message for event in task.record.state.events]
        assert any("machine was restarted" in text for text in texts)
    finally:
        await agent.stop(kill_tasks=True)


def forgetful(agent):
    """The agent's mock driver has lost all tasks, as a machine that was restarted has."""
    from plugins.driver import TaskNotFound

    kind = agent._driver_kinds["mock_driver"]

    class Forgetful(kind):
        async def recover(self, handle):
            raise TaskNotFound("gone")

    agent._driver_kinds = {"mock_driver": Forgetful}


async def test_without_a_reboot_a_lost_task_counts_as_failed(data_dir):
    server = Server()
    agent = make_agent(data_dir, server)
    await agent.start()
    await agent.ready.wait()
    alloc_id = server.place(make_job(restart_policy=RestartPolicy(attempts=0)))
    await server.status(alloc_id, ClientStatus.RUNNING)
    await agent.stop(kill_tasks=False)
    agent = make_agent(data_dir, server)
    forgetful(agent)
    await agent.start()
    try:
        found = await server.status(alloc_id, ClientStatus.FAILED)
        [end] = [e for e in found.task_states["web"].events if e.type == EventType.TERMINATED]
        assert "exit status unknown" in end.display_message
    finally:
        await agent.stop(kill_tasks=True)


@pytest.mark.parametrize("after_steps", [0, 1, 2, 3, 5, 8, 13, 30, 60])
async def test_a_start_that_is_broken_off_leaves_nothing(data_dir, after_steps):
    import threading

    server = Server()
    agent = make_agent(data_dir, server)
    starting = asyncio.create_task(agent.start())
    for _ in range(after_steps):
        await asyncio.sleep(0.001)
    starting.cancel()
    await asyncio.wait([starting])
    await agent.stop(kill_tasks=True)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("encamp")]
    async with running(data_dir, server):
        pass


async def test_a_done_allocation_is_kept_over_a_restart(data_dir):
    server = Server()
    agent = make_agent(data_dir, server)
    await agent.start()
    await agent.ready.wait()
    alloc_id = server.place(make_job(make_task(config={}), type=JobType.BATCH))
    await server.status(alloc_id, ClientStatus.COMPLETE)
    await agent.stop(kill_tasks=False)
    server.reports.clear()
    async with running(data_dir, server) as agent:
        assert agent.runners[alloc_id].core.record.phase == AllocPhase.DONE
        await until(lambda: server.reports)
        assert server.reports[-1].client_status == ClientStatus.COMPLETE
        assert (Path(data_dir) / "alloc" / alloc_id / "alloc" / "logs").is_dir()
