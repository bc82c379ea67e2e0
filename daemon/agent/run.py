"""The agent's process: composes it from a configuration, runs it until a signal or a fatal error, ends it cleanly.

Start-up, in order: logging, data_dir lock, ipc socket, server role, node role, TCP socket. Shut-down is the
reverse. SIGTERM or SIGINT at any step ends it the same way: what has been started is closed, exit code 0.

Source: architecture.md sections 1, 5.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from daemon.agent.agent import Agent
from daemon.agent.logs import set_up
from daemon.config.settings import AgentConfig
from daemon.model.errors import EncampError

log = logging.getLogger("encamp.agent")

_PR_SET_CHILD_SUBREAPER = 36


def run_agent(config: AgentConfig) -> int:
    """Run an agent until it is told to stop. Returns the exit code: 0, or 1 after an error that was printed."""
    with contextlib.ExitStack() as stack:
        if not config.data_dir:
            # only -dev may be without: nothing of it shall stay
            data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="encamp-dev-")))
        else:
            data_dir = Path(config.data_dir)
        monitor = set_up(config.log)
        for warning in config.warnings:
            log.warning("%s", warning)
        # orphans of a dead supervisor become ours, so that their exit codes are not lost
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        agent = Agent(config, data_dir, monitor)
        try:
            return asyncio.run(_main(agent))
        except EncampError as error:
            log.error("the agent cannot start: %s", error)
            print(f"Error: {error}", file=sys.stderr)
            return 1


async def _main(agent: Agent) -> int:
    """Start, wait for the end, stop. A second signal while stopping ends the process at once."""
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[Any] = loop.create_future()

    def on_signal(name: str) -> None:
        if stop.done():
            os._exit(130)
        log.info("caught %s, shutting down", name)
        stop.set_result(name)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number.name)
    loop.add_signal_handler(signal.SIGHUP, log.info, "SIGHUP: nothing of the configuration is reloadable yet")
    starting: asyncio.Future[Any] = asyncio.ensure_future(agent.start())
    code = 0
    try:
        await asyncio.wait([starting, stop], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            ending: asyncio.Future[Any] = asyncio.ensure_future(agent.wait_fatal())
            await asyncio.wait([ending, stop], return_when=asyncio.FIRST_COMPLETED)
            if ending.done():
                log.critical("the agent ends: %s", ending.result())
                code = 1
            ending.cancel()
    finally:
        if not starting.done():
            starting.cancel()
            await asyncio.wait([starting])
        await agent.close()
        if not stop.done():
            stop.cancel()
    return code
