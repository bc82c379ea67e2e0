"""Which nodes are to be quarantined, and which to be released. Pure.

Theory: level-triggered. From the nodes, the scores of failures and the settings, `step` says which marks change;
nothing is remembered between two steps but the marks themselves. A node becomes suspicious when enough distinct jobs
speak against it, and stays so until half of that has faded: it takes no new work, so that its score falls by itself.
In every pool the worst are taken, those that are in quarantine before others, as far as the share allows; a mark that
has no effect says what holds it back.

Not here: scores (failures.py); when to look, and the log (quarantine.py).

Source: users/wants.md 18.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from daemon.model.base import NS_PER_S
from daemon.model.node import Node, NodeQuarantine
from daemon.model.scheduler_config import OBSERVE, OFF, QuarantineConfig
from daemon.server.failures import Blame, FailureScores

Marks = dict[str, NodeQuarantine | None]
#: node id -> what its jobs say against it.
Blames = dict[str, list[Blame]]

#: a job counts as one of the distinct jobs while it says this much.
SAYS_SOMETHING = 0.25
#: of the number of jobs: the score that makes suspicious, and the one below which a node is released.
ENTER, LEAVE = 2 / 3, 1 / 3
#: a pool this large may always have one node in quarantine, unless the share is 0.
SEVERAL = 3
_NAMED = 5


@dataclass(frozen=True)
class _Suspect:
    node: Node
    score: float
    blames: list[Blame]

    @property
    def rank(self) -> tuple[bool, float, str]:
        """Those in quarantine first, then the worst."""
        return (not self.node.quarantined, -self.score, self.node.id)


def step(
    nodes: Iterable[Node],
    scores: FailureScores,
    config: QuarantineConfig,
    now_ns: int,
    only: Collection[str] | None = None,
) -> Marks:
    """Node id -> its new mark, None: none any more; nodes whose mark stays are not named.

    `only`: nodes of which something is new besides that failures fade; the rest, but for marked ones, are passed over.
    """
    pools: dict[str, list[Node]] = {}
    for node in nodes:
        pools.setdefault(node.node_pool, []).append(node)
    marks: Marks = {}
    blames: Blames = {}
    for node in (each for pool in pools.values() for each in pool) if config.mode != OFF else ():
        if only is None or node.quarantine is not None or node.id in only:
            blames[node.id] = scores.blames(node.id, now_ns)
    for name in sorted(pools):
        _pool(name, pools[name], blames, config, now_ns, marks)
    return marks


def room(serving: int, share_percent: int) -> int:
    """How many of so many nodes may be in quarantine at once."""
    least = 1 if serving >= SEVERAL and share_percent > 0 else 0
    return max(least, serving * share_percent // 100)


def _pool(
    name: str, nodes: list[Node], blames: Blames, config: QuarantineConfig, now_ns: int, marks: Marks
) -> None:
    suspects = _suspects(nodes, blames, config)
    serving = sum(node.serving for node in nodes)
    most = room(serving, config.share_percent)
    for place, suspect in enumerate(sorted(suspects, key=lambda suspect: suspect.rank)):
        held_back = ""
        if config.mode == OBSERVE:
            held_back = "observing only"
        elif place >= most:
            held_back = (
                f"at most {most} of the {serving} nodes of pool {name!r} may be, by the share of "
                f"{config.share_percent}%"
            )
        mark = suspect.node.quarantine
        if mark is None:
            marks[suspect.node.id] = NodeQuarantine(reason=_reason(suspect, now_ns), held_back=held_back)
        elif bool(mark.held_back) != bool(held_back) or _observing(mark.held_back) != _observing(held_back):
            marks[suspect.node.id] = NodeQuarantine(reason=mark.reason, held_back=held_back)
    still = {suspect.node.id for suspect in suspects}
    marks.update((node.id, None) for node in nodes if node.quarantine is not None and node.id not in still)


def _observing(held_back: str) -> bool:
    return held_back == "observing only"


def _suspects(nodes: list[Node], blames: Blames, config: QuarantineConfig) -> list[_Suspect]:
    found = []
    for node in nodes:
        against = blames.get(node.id)
        if not against:
            continue
        score = sum(blame.weight for blame in against)
        if node.quarantine is not None:
            suspicious = score >= LEAVE * config.jobs
        else:
            distinct = sum(blame.weight >= SAYS_SOMETHING for blame in against)
            suspicious = node.serving and distinct >= config.jobs and score >= ENTER * config.jobs
        if suspicious:
            found.append(_Suspect(node, score, against))
    return found


def _reason(suspect: _Suspect, now_ns: int) -> str:
    """Which jobs failed there, how often, since when."""
    telling = [blame for blame in suspect.blames if blame.weight >= SAYS_SOMETHING]
    count = sum(blame.tally.count for blame in telling)
    since_s = max(0, now_ns - min(blame.tally.first_ns for blame in telling)) // NS_PER_S
    span = f"{since_s} s" if since_s < 120 else f"{since_s // 60} min"
    named = ", ".join(f"{blame.job[1]} {blame.tally.count}x" for blame in telling[:_NAMED])
    more = f" and {len(telling) - _NAMED} more" if len(telling) > _NAMED else ""
    return f"{count} allocations of {len(telling)} jobs failed there within {span}: {named}{more}"
