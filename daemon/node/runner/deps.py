"""What a runner needs of its node agent."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from daemon.model.alloc import Allocation
from daemon.node.drivers.manager import DriverManager
from daemon.node.runner.taskconfig import NodeView
from daemon.node.store import NodeStore


class RunnerDeps(msgspec.Struct, frozen=True, kw_only=True):
    """Shared by all runners of a node."""

    store: NodeStore
    drivers: DriverManager
    alloc_dir: Path
    #: the node as it is now.
    view: Callable[[], NodeView]
    #: takes what the server is to be told.
    report: Callable[[Allocation], None]
    #: returns when the allocation of that id holds nothing on this node (at once when it is not known).
    predecessor_done: Callable[[str], Awaitable[None]]
    max_kill_timeout_ns: int
    #: the machine has been started anew since the agent last ran.
    rebooted: bool
    now_ns: Callable[[], int]
    random_: random.Random
