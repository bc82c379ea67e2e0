"""The node agent with tasks that have a file system of their own: exec through an OCI runtime, docker on an engine."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from daemon.model.enums import ClientStatus, JobType
from daemon.model.job import VolumeMount, VolumeRequest
from daemon.model.node import HostVolume
from daemon.model.resources import AllocatedPort, AllocatedResources, AllocatedShared, AllocatedTask
from tests.node.nodekit import Server, make_agent, make_job, make_task, running, until
from tests.node.test_node_processes import read_logs


@pytest.mark.root
@pytest.mark.runc
async def test_an_exec_task_sees_nomads_directories_and_volumes(data_dir):
    from plugins.exec_driver.driver import ExecDriver

    volume = data_dir / "volume"
    volume.mkdir()
    volume.chmod(0o777)
    (volume / "file").write_text("from the host\n")
    script = (
        "env | grep -E '^NOMAD_(ALLOC|TASK|SECRETS)_DIR' | sort; env | grep -c HOST_ONLY;"
        "cat /srv/data/file; (echo x > /srv/data/new) 2>/dev/null || echo read-only;"
        'echo x > "$NOMAD_TASK_DIR/mine"; echo x > "$NOMAD_SECRETS_DIR/token"; ls /secrets'
    )
    task = make_task(
        driver="exec",
        config={"command": "/bin/sh", "args": ["-c", script]},
        volume_mounts=(VolumeMount(volume="v", destination="/srv/data", read_only=True),),
    )
    job = make_job(task, type=JobType.BATCH, volumes={"v": VolumeRequest(name="v", source="shared")})
    server = Server()
    volumes = {"shared": HostVolume(name="shared", path=str(volume))}
    async with running(data_dir, server, raw_exec=True, extra=[ExecDriver], host_volumes=volumes) as agent:
        alloc_id = server.place(job)
        await server.status(alloc_id, ClientStatus.COMPLETE)
        assert (await read_logs(agent, alloc_id)).splitlines() == [
            "NOMAD_ALLOC_DIR=/alloc",
            "NOMAD_SECRETS_DIR=/secrets",
            "NOMAD_TASK_DIR=/local",
            "0",
            "from the host",
            "read-only",
            "token",
        ]
        assert (data_dir / "alloc" / alloc_id / "web" / "local" / "mine").exists()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def ping(port: int) -> bytes:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return b""
    try:
        writer.write(b"PING\r\n")
        return await asyncio.wait_for(reader.readline(), 5)
    except (OSError, TimeoutError):
        return b""
    finally:
        writer.close()


async def answers(port: int) -> None:
    for _ in range(300):
        if await ping(port) == b"+PONG\r\n":
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"redis does not answer on port {port}")


@pytest.mark.docker
async def test_redis_answers_restarts_outlives_the_agent_and_goes(data_dir, docker_engine):
    import docker

    from plugins.docker_driver.driver import DockerDriver

    task = make_task(
        "redis",
        driver="docker",
        config={"image": "redis:3.2", "port_map": {"db": 6379}},
        port_labels={"db": "db"},
    )
    job = make_job(task, job_id="cache")
    port = free_port()
    server = Server()
    facts = {"extra": [DockerDriver], "plugin_config": {"docker": {"endpoint": docker_engine}}}
    given = AllocatedResources(
        tasks={"redis": AllocatedTask(cpu_shares=100, memory_mb=64)},
        shared=AllocatedShared(ports=(AllocatedPort(label="db", value=port, host_ip="127.0.0.1"),)),
    )
    client = docker.APIClient(base_url=docker_engine, version="auto")
    agent = make_agent(data_dir, server, **facts)
    try:
        await agent.start()
        await agent.ready.wait()
        alloc_id = server.place(job, allocated_resources=given)
        await server.status(alloc_id, ClientStatus.RUNNING, deadline_s=60)
        await answers(port)

        def containers() -> list[str]:
            found = client.containers(all=True)
            return [one["Id"] for one in found if any(alloc_id in name for name in one["Names"])]

        [first] = await asyncio.to_thread(containers)
        await asyncio.to_thread(client.kill, first)
        await until(lambda: server.allocs[alloc_id].task_states["redis"].restarts == 1)
        await server.status(alloc_id, ClientStatus.RUNNING)
        await answers(port)
        [second] = await asyncio.to_thread(containers)
        assert second != first

        await agent.stop(kill_tasks=False)
        await answers(port)
        agent = make_agent(data_dir, server, **facts)
        await agent.start()
        await until(lambda: agent.runners[alloc_id].core.tasks["redis"].record.phase == "running")
        assert await asyncio.to_thread(containers) == [second]
        server.stop(alloc_id)
        await server.status(alloc_id, ClientStatus.COMPLETE)
        assert await asyncio.to_thread(containers) == []
        assert Path(data_dir / "alloc" / alloc_id / "alloc" / "logs" / "redis.stdout.0").stat().st_size > 0
    finally:
        await agent.stop(kill_tasks=True)
        client.close()
