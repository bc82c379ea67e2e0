"""A twin of placement that cannot be wrong for cleverness: every node, every rule, one placement after the other."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from daemon.model.job import Job, TaskGroup
from daemon.model.node import Node
from daemon.model.policies import Affinity, Spread


@dataclass
class Twin:
    """One job with one group of one task on nodes whose meta has plain values."""

    nodes: list[Node]
    job: Job
    loose: bool = False
    #: node id -> how much the job's failures there count.
    failures: dict[str, float] = field(default_factory=dict)
    #: node id -> cpu, memory, disk, allocations.
    used: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.used = {node.id: [0, 0, 0, 0] for node in self.nodes}

    @property
    def group(self) -> TaskGroup:
        return self.job.task_groups[0]

    def fits(self, node: Node) -> bool:
        group, res, held = self.group, node.node_resources, self.used[node.id]
        task = group.tasks[0].resources
        ports = sum(len(network.dynamic_ports) for network in group.networks)
        if (
            held[0] + task.cpu > res.cpu_shares
            or held[1] + task.memory_mb > res.memory_mb
            or held[2] + group.ephemeral_disk.size_mb > res.disk_mb
            or (held[3] + 1) * ports > res.max_dynamic_port - res.min_dynamic_port + 1
        ):
            return False
        for rule in self.job.constraints:
            if rule.operand == "distinct_hosts" and held[3]:
                return False
            if rule.operand == "distinct_property":
                value = self.value(node, rule.l_target)
                if value is None or self.uses(rule.l_target)[value] >= int(rule.r_target):
                    return False
        return True

    def value(self, node: Node, target: str) -> str | None:
        return node.meta.get(target.removeprefix("${meta.").removesuffix("}"))

    def uses(self, target: str) -> Counter[str]:
        counts: Counter[str] = Counter()
        for node in self.nodes:
            value = self.value(node, target)
            if value is not None:
                counts[value] += self.used[node.id][3]
        return counts

    def score(self, node: Node) -> float:
        task, res, held = self.group.tasks[0].resources, node.node_resources, self.used[node.id]
        total = 10 ** (1 - (held[0] + task.cpu) / res.cpu_shares)
        total += 10 ** (1 - (held[1] + task.memory_mb) / res.memory_mb)
        terms = [min(18.0, max(0.0, total - 2.0 if self.loose else 20.0 - total)) / 18.0]
        if held[3]:
            terms.append(-(held[3] + 1) / self.group.count)
        affinities = (*self.job.affinities, *self.group.affinities, *self.group.tasks[0].affinities)
        if affinities:
            won = sum(one.weight for one in affinities if self.liked(node, one))
            terms.append(won / sum(abs(one.weight) for one in affinities))
        if self.failures:
            terms.append(-self.failures.get(node.id, 0.0))
        spreads = (*self.job.spreads, *self.group.spreads)
        whole = sum(spread.weight for spread in spreads)
        boost = sum(self.boost(node, spread, spread.weight / whole) for spread in spreads)
        if abs(boost) > 5e-7:
            terms.append(boost)
        return sum(terms) / len(terms)

    def liked(self, node: Node, affinity: Affinity) -> bool:
        assert affinity.operand in ("=", "!=")
        return (self.value(node, affinity.l_target) == affinity.r_target) == (affinity.operand == "=")

    def boost(self, node: Node, spread: Spread, share: float) -> float:
        value, uses = self.value(node, spread.attribute), self.uses(spread.attribute)
        if value is None:
            return -1.0
        count = self.group.count
        if not spread.spread_target:
            used = [n for n in uses.values() if n]
            if not used:
                return 0.0
            here = uses[value]
            if here == 0:
                return max(used) / min(used)
            if here != min(used):
                return (min(used) - here) / min(used)
            return (max(used) - min(used)) / min(used) if max(used) > min(used) else -1.0
        wanted = {target.value: target.percent * count / 100 for target in spread.spread_target}
        whole = sum(target.percent for target in spread.spread_target)
        rest = (100 - whole) * count / 100
        boosts = {
            word: (amount - (uses[word] + 1)) / amount * share for word, amount in wanted.items() if amount
        }
        if value not in wanted:
            if not 0 < whole < 100:
                return -1.0
            others = sum(n for word, n in uses.items() if word not in wanted)
            return (rest - (others + 1)) / rest * share
        if wanted[value]:
            return boosts[value]
        if 0 < whole < 100:
            others = sum(n for word, n in uses.items() if word not in wanted)
            boosts["*"] = (rest - (others + 1)) / rest * share
        return min([-1.0, *boosts.values()])

    def place(self, node_id: str) -> None:
        group = self.group
        task = group.tasks[0].resources
        for i, amount in enumerate((task.cpu, task.memory_mb, group.ephemeral_disk.size_mb, 1)):
            self.used[node_id][i] += amount

    def check(self, chosen: list[str]) -> None:
        """Every choice was the best at its time, and when they end nothing fits any more."""
        for step in range(self.group.count):
            scores = {node.id: self.score(node) for node in self.nodes if self.fits(node)}
            if step >= len(chosen):
                assert not scores, f"{len(chosen)} were placed, though there was room on {sorted(scores)}"
                return
            node_id = chosen[step]
            assert node_id in scores, f"number {step} does not fit on {node_id}"
            best = max(scores.values())
            assert scores[node_id] >= best - 2e-6, f"number {step}: {node_id} {scores[node_id]}, best {best}"
            self.place(node_id)
