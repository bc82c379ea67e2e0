"""The node agent against a scripted server, with mock tasks."""

from __future__ import annotations

import asyncio
import os

import pytest

from daemon.model.enums import ClientStatus, JobType
from daemon.model.errors import Unavailable
from daemon.model.policies import EphemeralDisk, RestartPolicy
from daemon.model.tasks import EventType
from tests.node.nodekit import Server, make_agent, make_job, make_task, running, until


async def test_a_service_runs_becomes_healthy_and_stops(data_dir):
    server = Server()
    async with running(data_dir, server):
        alloc_id = server.place(make_job())
        alloc = await server.status(alloc_id, ClientStatus.RUNNING)
        await until(lambda: (s := server.allocs[alloc_id].deployment_status) and s.healthy)
        layout = data_dir / "alloc" / alloc_id
        assert sorted(os.listdir(layout / "alloc")) == ["data", "logs", "tmp"]
        assert sorted(os.listdir(layout / "web")) == ["local", "private", "secrets", "tmp"]
        server.stop(alloc_id)
        alloc = await server.status(alloc_id, ClientStatus.COMPLETE)
        kinds = [event.type for event in alloc.task_states["web"].events]
        assert kinds[:3] == [EventType.RECEIVED, EventType.TASK_SETUP, EventType.STARTED]
        assert kinds[-1] == EventType.KILLED


async def test_a_batch_task_ends_with_its_exit_code(data_dir):
    server = Server()
    async with running(data_dir, server):
        good = server.place(make_job(make_task(config={}), type=JobType.BATCH, job_id="good"))
        bad_task = make_task(config={"exit_code": 3}, restart_policy=RestartPolicy(attempts=0))
        bad = server.place(make_job(bad_task, type=JobType.BATCH, job_id="bad"))
        assert (await server.status(good, ClientStatus.COMPLETE)).task_states["web"].successful
        alloc = await server.status(bad, ClientStatus.FAILED)
        assert alloc.client_description == "Failed tasks: web"
        ends = [e for e in alloc.task_states["web"].events if e.type == EventType.TERMINATED]
        assert [event.exit_code for event in ends] == [3]


async def test_restarts_follow_the_policy_and_then_fail(data_dir):
    server = Server()
    async with running(data_dir, server):
        alloc_id = server.place(make_job(make_task(config={"exit_code": 1})))
        alloc = await server.status(alloc_id, ClientStatus.FAILED)
        assert alloc.task_states["web"].restarts == 2
        kinds = [event.type for event in alloc.task_states["web"].events]
        assert kinds.count(EventType.TERMINATED) == 3
        assert EventType.NOT_RESTARTING in kinds
        assert alloc.deployment_status.healthy is False


async def test_a_task_that_cannot_start_says_why(data_dir):
    server = Server()
    async with running(data_dir, server):
        none = RestartPolicy(attempts=0)
        broken = server.place(make_job(make_task(config={"start_error": "no such image"})))
        unknown = server.place(make_job(make_task(driver="podman", restart_policy=none), job_id="other"))
        for alloc_id, words in ((broken, "no such image"), (unknown, "no driver 'podman'")):
            alloc = await server.status(alloc_id, ClientStatus.FAILED)
            texts = [e.display_message for e in alloc.task_states["web"].events]
            assert any(words in text for text in texts), texts


async def test_a_stop_breaks_off_a_start(data_dir):
    server = Server()
    async with running(data_dir, server):
        alloc_id = server.place(make_job(make_task(config={"start_block_for": "1h", "run_for": "1h"})))
        await until(lambda: server.allocs[alloc_id].task_states)
        server.stop(alloc_id)
        await server.status(alloc_id, ClientStatus.COMPLETE)


async def test_identity_is_kept_and_private(data_dir):
    server = Server()
    async with running(data_dir, server) as agent:
        first = agent.identity
        assert server.node.id == first.node_id
        mode = (data_dir / "client" / "identity.json").stat().st_mode
        assert mode & 0o777 == 0o600
    async with running(data_dir, server) as agent:
        assert agent.identity == first


async def test_two_agents_cannot_share_a_directory(data_dir):
    server = Server()
    async with running(data_dir, server):
        second = make_agent(data_dir, server)
        with pytest.raises(Unavailable, match="another agent uses"):
            await second.start()


async def test_reports_wait_for_a_server_that_refuses_them(data_dir):
    server = Server()
    async with running(data_dir, server):
        server.refuse_reports = True
        alloc_id = server.place(make_job(make_task(config={}), type=JobType.BATCH))
        await asyncio.sleep(0.3)
        assert not server.reports
        server.refuse_reports = False
        await server.status(alloc_id, ClientStatus.COMPLETE)


async def test_a_server_that_has_forgotten_the_node_gets_it_again(data_dir):
    server = Server()
    async with running(data_dir, server):
        before = server.registrations
        server.forget_node = True
        await until(lambda: server.registrations > before)


async def test_what_the_servers_have_forgotten_is_ended_and_removed(data_dir):
    server = Server()
    async with running(data_dir, server) as agent:
        alloc_id = server.place(make_job())
        await server.status(alloc_id, ClientStatus.RUNNING)
        server.forget(alloc_id)
        await until(lambda: alloc_id not in agent.runners)
        assert not (data_dir / "alloc" / alloc_id).exists()


async def test_an_unknown_allocation_that_is_to_stop_is_reported_as_over(data_dir):
    server = Server()
    async with running(data_dir, server) as agent:
        job = make_job()
        alloc_id = server.place(job, desired_status="stop")
        await server.status(alloc_id, ClientStatus.COMPLETE)
        assert alloc_id not in agent.runners


async def test_a_replacement_starts_after_its_predecessor_and_takes_its_data(data_dir):
    server = Server()
    job = make_job(
        make_task(config={"run_for": "1h", "kill_after": "400ms"}, kill_timeout_ns=10**9),
        ephemeral_disk=EphemeralDisk(sticky=True),
    )
    async with running(data_dir, server) as agent:
        old = server.place(job)
        await server.status(old, ClientStatus.RUNNING)
        (data_dir / "alloc" / old / "alloc" / "data" / "kept").write_text("all")
        (data_dir / "alloc" / old / "web" / "local" / "kept").write_text("one")
        server.stop(old)
        new = server.place(job, previous_allocation=old)
        await until(lambda: new in agent.runners)
        assert server.allocs[new].client_status == ClientStatus.PENDING
        await server.status(new, ClientStatus.RUNNING)
        assert server.allocs[old].client_status == ClientStatus.COMPLETE
        assert (data_dir / "alloc" / new / "alloc" / "data" / "kept").read_text() == "all"
        assert (data_dir / "alloc" / new / "web" / "local" / "kept").read_text() == "one"


async def test_an_agent_that_comes_back_without_a_server_goes_on(data_dir):
    server = Server()
    agent = make_agent(data_dir, server)
    await agent.start()
    await agent.ready.wait()
    alloc_id = server.place(make_job())
    await server.status(alloc_id, ClientStatus.RUNNING)
    await agent.stop(kill_tasks=False)
    server.away = True
    async with running(data_dir, server) as agent:
        runner = agent.runners[alloc_id]
        await until(lambda: runner.core.tasks["web"].record.phase == "running")
        assert runner.core.tasks["web"].record.attempt == 1
        await asyncio.to_thread(lambda: None)
        server.away = False
        await asyncio.wait_for(agent.ready.wait(), 10)
        server.stop(alloc_id)
        await server.status(alloc_id, ClientStatus.COMPLETE)


async def test_no_thread_and_no_aio_task_is_left(data_dir):
    import threading

    server = Server()
    async with running(data_dir, server):
        server.place(make_job())
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("encamp")]
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert left == []


async def test_a_stop_of_a_purged_job_is_followed(data_dir):
    server = Server()
    async with running(data_dir, server):
        alloc_id = server.place(make_job())
        await server.status(alloc_id, ClientStatus.RUNNING)
        server.jobs.clear()
        server.stop(alloc_id)
        await server.status(alloc_id, ClientStatus.COMPLETE)
        new = server.place(make_job())
        await server.status(new, ClientStatus.RUNNING)
        server.stop(new)
        await server.status(new, ClientStatus.COMPLETE)


async def test_an_update_in_place_keeps_the_task_and_takes_the_new_job(data_dir):
    import msgspec

    server = Server()
    async with running(data_dir, server) as agent:
        job = make_job()
        alloc_id = server.place(job)
        await server.status(alloc_id, ClientStatus.RUNNING)
        await until(lambda: server.allocs[alloc_id].deployment_status)
        newer = msgspec.structs.replace(job, version=1, meta={"new": "yes"})
        server.jobs[newer.namespace, newer.id, 1] = newer
        server.change(alloc_id, job_version=1, deployment_id="d2", deployment_status=None)
        await until(lambda: agent.runners[alloc_id].placed.job.version == 1)
        await until(lambda: server.allocs[alloc_id].deployment_status)
        assert agent.runners[alloc_id].core.tasks["web"].record.attempt == 1
    again = make_agent(data_dir, server)
    again._store.open()
    [stored] = await again._store.load()
    again._store.close()
    assert stored.job.meta == {"new": "yes"}
