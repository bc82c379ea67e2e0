"""An evaluation worker: a process that runs the pure scheduler over its own copy of the fleet.

Theory: one DEALER socket to the agent, plain blocking loop; messages bring fleet deltas and evaluations, answers
go back in order. A worker's own placements are reserved in its fleet until the server's delta overwrites them,
so that evaluations in flight do not fight for the same room. It dies with its parent (PR_SET_PDEATHSIG), and
whenever the agent thinks that it hangs: nothing is lost, the broker delivers again.

Not here: retries, attempts, commits: daemon.evaluation.service. Imports no zmq.asyncio and no textual.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import resource
import signal
import sys
import traceback
import zlib

import zmq

from daemon.evaluation.messages import Answer, Result, Work
from daemon.model.base import decode, encode
from daemon.model.plan import EvalInput
from daemon.scheduler.schedule import schedule
from daemon.state.deltas import GapError
from daemon.state.fleet import Fleet

_PR_SET_PDEATHSIG = 1


class Worker:
    """The fleet and the answers of one worker. `handle` is the whole job; the loop around it only moves bytes."""

    def __init__(self, name: str = "") -> None:
        # workers take equal nodes in different orders, so that they seldom want the same one at once.
        self.fleet = Fleet(order=zlib.crc32(name.encode()))

    def handle(self, work: Work) -> Answer:
        """Answer each evaluation. A gap in the deltas is answered with a call for all of the fleet."""
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return Answer(results=tuple(self._results(work)), memory_bytes=memory)

    def _results(self, work: Work) -> list[Result]:
        if work.delta is not None:
            try:
                self.fleet.apply(work.delta)
            except GapError:
                return [Result(eval_id=item.evaluation.id, resync=True) for item in work.inputs]
        self.fleet.share = work.share
        return [self._evaluate(item, work.dry_run) for item in work.inputs]

    def _evaluate(self, item: EvalInput, dry_run: bool) -> Result:
        try:
            attempt = schedule(item, self.fleet)
            if not dry_run and not attempt.wants_nodes:
                self.fleet.reserve(attempt.plan)
        except Exception:
            return Result(eval_id=item.evaluation.id, error=traceback.format_exc(limit=8))
        return Result(eval_id=item.evaluation.id, attempt=attempt)


def run(address: str, name: str) -> None:
    """Connect, say that we are ready, and work until the agent goes away."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.ROUTING_ID, name.encode())
    socket.setsockopt(zmq.LINGER, 0)
    socket.connect(address)
    worker = Worker(name)
    # what is loaded now stays: a collection of garbage need not look at it again
    gc.freeze()
    socket.send(encode(Answer()))
    while True:
        socket.send(encode(worker.handle(decode(socket.recv(), Work))))


def main() -> None:
    """Entry of `python -m daemon.evaluation.worker`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--parent", type=int, required=True)
    options = parser.parse_args()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != options.parent:
        sys.exit("the agent that started this worker is gone")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run(options.address, options.name)


if __name__ == "__main__":
    main()
