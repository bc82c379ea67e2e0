"""Scenario scripts: a text of commands, and after `----` the trace that they cause. Review changes as diffs.

`python -m tests.gossip.scenarios --rewrite` writes the traces anew. Commands, one a line:
members N | hear HOST MESSAGE | wait SECONDS | kill HOST | stop HOST SECONDS | cut A B | heal | leave HOST |
tags HOST K=V |
restart HOST | join A B | force-leave HOST NAME | show HOST. Messages: alive NAME INC, suspect NAME INC by ACCUSER,
dead NAME INC by ACCUSER, leave NAME TIME, join NAME TIME. The trace shows events, notices and outcomes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from gossip.core import actions as a
from gossip.memory.world import Host, World
from gossip.model import Event
from gossip.wire import messages as m
from gossip.wire.codec import encode
from tests.gossip.cluster import address_of, config_of, join, joined

FOLDER = Path(__file__).with_name("scenarios")


class Script:
    """Runs one script; `trace` is what happened."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        self.trace: list[str] = []
        self.begun_s = 0.0

    def run(self, text: str) -> str:
        for line in text.splitlines():
            words = line.split()
            if words and not line.startswith("#"):
                self.trace.append(f"> {line}")
                getattr(self, "do_" + words[0].replace("-", "_"))(*words[1:])
        return "\n".join(self.trace) + "\n"

    def note(self, host: Host, text: str) -> None:
        self.trace.append(f"{self.world.now - self.begun_s:8.3f} {host.name}: {text}")

    def on_emit(self, host: Host, event: Event) -> None:
        member = event.member
        if member is not None:
            self.note(
                host, f"{event.kind.value} {member.name} inc={member.incarnation} {member.status.value}"
            )

    def on_notice(self, host: Host, notice: a.Notice) -> None:
        self.note(host, f"notice {notice.kind} {notice.member}")

    def host(self, name: str) -> Host:
        return self.world.hosts[name]

    def do_members(self, count: str) -> None:
        joined(self.world, int(count))
        self.world.run(30.0)
        self.begun_s = self.world.now
        self.world.on_emit, self.world.on_notice = self.on_emit, self.on_notice

    def do_wait(self, seconds: str) -> None:
        self.world.run(float(seconds))

    def do_hear(
        self, name: str, kind: str, about: str, number: str, _by: str = "", accuser: str = ""
    ) -> None:
        count = int(number)
        message: m.Message
        if kind == "alive":
            host, port = address_of(int(about[1:]))
            message = m.Alive(incarnation=count, node=about, host=host, port=port)
        elif kind == "suspect":
            message = m.Suspect(incarnation=count, node=about, accuser=accuser)
        elif kind == "dead":
            message = m.Dead(incarnation=count, node=about, accuser=accuser)
        else:
            message = (m.LeaveIntent if kind == "leave" else m.JoinIntent)(time=count, node=about)
        target = self.host(name)
        target.do(
            target.core.on_datagram, target.core.context.envelope.wrap(encode(message)), address_of(200)
        )

    def do_kill(self, name: str) -> None:
        self.world.kill(self.host(name))

    def do_stop(self, name: str, seconds: str) -> None:
        self.world.stop(self.host(name), float(seconds))

    def do_cut(self, one: str, two: str) -> None:
        self.world.links.cut.add((self.host(one).address, self.host(two).address))

    def do_heal(self) -> None:
        self.world.links.heal()

    def do_leave(self, name: str) -> None:
        self.host(name).do(self.host(name).core.leave)

    def do_tags(self, name: str, tag: str) -> None:
        key, _, value = tag.partition("=")
        self.host(name).do(self.host(name).core.set_tags, {key: value})

    def do_restart(self, name: str) -> None:
        self.world.add(config_of(int(name[1:])), address_of(int(name[1:])))

    def do_join(self, one: str, two: str) -> None:
        self.trace.append(f"  outcome: {join(self.world, self.host(one), self.host(two)) or 'joined'}")

    def do_force_leave(self, name: str, about: str) -> None:
        self.host(name).do(self.host(name).core.force_leave, about)

    def do_show(self, name: str) -> None:
        core = self.host(name).core
        rows = [f"{member.name} {member.status.value} inc={member.incarnation}" for member in core.members()]
        self.trace.append(f"  {name} health={core.metrics().health_score}: " + ", ".join(rows))


def parts(path: Path) -> tuple[str, str]:
    """Commands and expected trace."""
    commands, _, trace = path.read_text().partition("----\n")
    return commands, trace


def replay(path: Path) -> str:
    """The trace that the commands cause."""
    return Script(seed=7).run(parts(path)[0])


def main() -> None:
    if sys.argv[1:] != ["--rewrite"]:
        sys.exit("usage: python -m tests.gossip.scenarios --rewrite")
    for path in sorted(FOLDER.glob("*.txt")):
        path.write_text(f"{parts(path)[0]}----\n{replay(path)}")


if __name__ == "__main__":
    main()
