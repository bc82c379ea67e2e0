"""One seed, one story: random faults on a cluster, then healing, then the promises.

Run one by hand: `python -m tests.gossip.schedule SEED SIZE [FAULTS]`.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable

from gossip.config import LAN
from gossip.memory.world import Host, World
from tests.gossip.checkers import Violation, Watcher
from tests.gossip.cluster import address_of, config_of, joined, told, warm


class Story:
    """Draws faults and carries them out."""

    def __init__(self, seed: int, size: int, *, keys: tuple[bytes, ...] = ()) -> None:
        self.seed = seed
        self.world = World(seed)
        self.rng = random.Random(seed ^ 0x5EED)
        self.watcher = Watcher(self.world)
        links = self.world.links
        links.loss = self.rng.choice((0.0, 0.02, 0.1))
        links.duplicate = self.rng.choice((0.0, 0.05))
        links.slow = self.rng.choice((0.0, 0.02))
        if size > 30:
            self.world.on_emit = lambda host, event: None
            warm(self.world, size, LAN, keys=keys)
            self.world.on_emit = self.watcher.on_emit
            self.watcher.adopt()
        else:
            joined(self.world, size, LAN, keys=keys)
        self.keys = keys
        self.size = size
        self.down: list[int] = []

    def live(self) -> list[Host]:
        return [host for host in self.world.hosts.values() if host.up and not host.core.leaver.begun]

    def run(self, faults: int) -> None:
        """The faults, one each few seconds, under watch."""
        actions: list[Callable[[], None]] = [
            self.kill,
            self.restart,
            self.pause,
            self.split,
            self.deafen,
            self.leave,
            self.retag,
            self.event,
            self.query,
        ]
        if self.size > 300:
            # a split of a thousand is half a million burials: hours, and nothing that a hundred would not show
            actions = [self.kill, self.restart, self.pause, self.leave, self.retag, self.event, self.query]
        for _ in range(faults):
            self.rng.choice(actions)()
            self.watcher.run(self.rng.choice((0.3, 1.0, 4.0, 9.0)))
        self.heal()

    def heal(self) -> None:
        """Everything works again: everybody is started, and the promises must hold."""
        watcher, links = self.watcher, self.world.links
        links.heal()
        links.loss = links.duplicate = links.slow = 0.0
        watcher.run(25.0)  # pauses end
        while self.down:
            self.restart()
            watcher.run(1.0)
        life = LAN.lifecycle
        # a name is taken back after its holder's burial; then two exchanges, of which one may meet who knew nothing
        watcher.converge(life.reclaim_s + 4 * LAN.exchange.interval_s)
        watcher.quiet()
        watcher.economical()
        watcher.sample()

    # ---- faults

    def kill(self) -> None:
        live = self.live()
        if len(live) > max(2, self.size // 2):
            victim = self.rng.choice(live)
            self.world.kill(victim)
            self.down.append(int(victim.name[1:]))

    def restart(self) -> None:
        self.down += [
            int(host.name[1:]) for host in self.world.hosts.values() if host.has_left and not host.up
        ]
        self.down = sorted(set(self.down))
        if not self.down:
            return
        number = self.down.pop(self.rng.randrange(len(self.down)))
        if not self.world.hosts[f"n{number}"].up:
            host = self.world.add(config_of(number, LAN, keys=self.keys), address_of(number))
            self.rejoin(host)

    def rejoin(self, host: Host) -> None:
        """Join through anybody until it works, and again whenever alone, as `stay_joined` does."""
        if not host.up or host.core.leaver.begun:
            return
        self.world.at(self.world.now + 3.0, self.rejoin, host)
        if host.stopped or ("" in host.joins.values() and host.core.context.table.living > 1):
            return
        others = [other for other in self.live() if other is not host]
        if others:
            through = self.world.rng.choice(others)
            host.do(host.core.join, host.next_op(), through.address)

    def pause(self) -> None:
        self.world.stop(self.rng.choice(self.live()), self.rng.choice((1.0, 5.0, 20.0)))

    def split(self) -> None:
        if self.world.links.side:
            self.world.links.heal()
            return
        addresses = sorted(host.address for host in self.world.hosts.values())
        self.world.links.partition(self.rng.sample(addresses, len(addresses) // 2))

    def deafen(self) -> None:
        links, live = self.world.links, self.live()
        if links.cut or len(live) < 2:
            links.cut.clear()
            return
        victim = self.rng.choice(live)
        links.cut |= {(other.address, victim.address) for other in live if other is not victim}

    def leave(self) -> None:
        live = self.live()
        if len(live) > max(2, self.size // 2):
            host = self.rng.choice(live)
            if not host.stopped:
                host.do(host.core.leave)

    def retag(self) -> None:
        host = self.rng.choice(self.live())
        if not host.stopped:
            host.do(host.core.set_tags, {"v": str(self.rng.randrange(1000))})

    def event(self) -> None:
        host = self.rng.choice(self.live())
        if not host.stopped:
            host.do(host.core.user_event, "deploy", self.rng.randbytes(20))

    def query(self) -> None:
        host = self.rng.choice(self.live())
        if not host.stopped:
            host.do(host.core.query, host.next_op(), "who", b"", ack=True, relays=self.rng.randrange(3))


def story(seed: int, size: int, faults: int = 12, keys: tuple[bytes, ...] = ()) -> Story:
    """Run one; the message of a failure says how to run it again."""
    made: Story | None = None
    try:
        made = Story(seed, size, keys=keys)
        made.run(faults)
    except AssertionError as error:
        views = told(made.world.hosts.values()) if made is not None and size <= 30 else ""
        again = f"again: python -m tests.gossip.schedule {seed} {size} {faults}"
        raise Violation(f"seed {seed}, {size} members: {error}\n{views}\n{again}") from error
    return made


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    print("\n".join(story(*numbers).watcher.log))
