"""How fast the core is: `python -m tests.consensus.raft.raftspeed`. Prints; asserts nothing about time."""

from __future__ import annotations

import time

from daemon.consensus.port import HardState
from daemon.consensus.raft.core import RaftCore
from daemon.consensus.raft.members import members_of
from daemon.consensus.raft.messages import decode_message, encode_message
from tests.consensus.raft.raftstory import story


class Trio:
    """Three cores in one thread, with disks that write at once."""

    def __init__(self, *, uses_bytes):
        self.uses_bytes = uses_bytes
        members = members_of("abc")
        self.cores = {
            id_: RaftCore(id_, "c1", draw=lambda below: 0, hard_state=HardState(), members=members)
            for id_ in "abc"
        }
        self.applied = dict.fromkeys("abc", 0)
        self.cores["a"].campaign()
        self.settle()

    def settle(self):
        busy = True
        while busy:
            busy = False
            for id_, core in self.cores.items():
                ready = core.take()
                if ready.entries:
                    core.persisted(ready.entries[-1].index, ready.entries[-1].term)
                    busy = True
                for receiver, message in ready.messages_before_sync + ready.messages_after_sync:
                    busy = True
                    if self.uses_bytes:
                        message = decode_message(encode_message(message))
                    self.cores[receiver].step(id_, message)
                if ready.committed:
                    busy = True
                    self.applied[id_] += len(ready.committed)
                    core.applied(ready.committed[-1].index)

    def compact(self):
        for core in self.cores.values():
            core.compact(core.commit_index)


def entries_per_s(batch, size, *, uses_bytes, seconds=2.0):
    """Entries committed and applied on all three."""
    trio = Trio(uses_bytes=uses_bytes)
    data = [b"." * size] * batch
    began, before, rounds = time.perf_counter(), trio.applied["c"], 0
    while time.perf_counter() - began < seconds:
        trio.cores["a"].propose(data)
        trio.settle()
        rounds += 1
        if rounds % 50 == 0:
            trio.compact()
    trio.settle()
    return (min(trio.applied.values()) - before) / (time.perf_counter() - began)


def steps_per_s(seeds=60):
    began, steps = time.perf_counter(), 0
    for seed in range(seeds):
        steps += story(seed).steps
    took = time.perf_counter() - began
    return steps / took, seeds / took


def main():
    for batch, size, uses_bytes in (
        (1, 64, False), (64, 64, False), (512, 64, False), (1, 64, True), (64, 1024, True), (512, 1024, True),
    ):  # fmt: skip
        speed = entries_per_s(batch, size, uses_bytes=uses_bytes)
        print(
            f"batch {batch:4} of {size:5} B, {'encoded' if uses_bytes else 'objects':8} {speed:12,.0f} entries/s"
        )
    steps, seeds = steps_per_s()
    print(f"simulation {steps:,.0f} steps/s, {seeds:.1f} seeds/s")


if __name__ == "__main__":
    main()
