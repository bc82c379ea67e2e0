"""A process that runs one task through the docker driver and nothing else, made to be killed.

`python -m tests.plugins.docker.agentlet ENDPOINT DATA_DIR NODE_ID TASK_JSON`: starts the task, prints its handle as
JSON, and stays.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from plugins.docker_driver.driver import DockerDriver
from plugins.driver import DriverContext, TaskConfig


async def main() -> None:
    endpoint, data_dir, node_id, text = sys.argv[1:]
    driver = DockerDriver(
        DriverContext(node_id=node_id, node_name="n1", data_dir=Path(data_dir), config={"endpoint": endpoint})
    )
    print("ready", flush=True)
    handle = await driver.start(msgspec.json.decode(text, type=TaskConfig))
    print(msgspec.json.encode(handle).decode(), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
