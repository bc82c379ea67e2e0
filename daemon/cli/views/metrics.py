"""Why a group was not placed, from the scheduler's counts. Pure.

Source: spec/nomad-surface.md E2; users/wants.md 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from daemon.cli.text import clean, many
from daemon.model.metrics import AllocMetric


def failures(
    failed: Mapping[str, AllocMetric], explanations: Mapping[str, Sequence[str]] | None = None
) -> list[str]:
    """One block per group that could not be placed whole, in the order of the names."""
    lines: list[str] = []
    for group in sorted(failed):
        metric = failed[group]
        count = many(metric.coalesced_failures + 1, "allocation")
        lines.append(f'Task Group "{clean(group)}" (failed to place {count}):')
        explained = (explanations or {}).get(group, ())
        lines += [f"  * {clean(line)}" for line in metric_lines(metric, with_advice=not explained)]
        lines += [f"  {clean(line)}" for line in explained]
    return lines


def metric_lines(metric: AllocMetric, *, with_advice: bool = True) -> list[str]:
    """What removed nodes, most general reason first; then the nearest miss and what would help.

    Without advice where the servers' explanation has said it.
    """
    lines: list[str] = []
    if metric.nodes_evaluated == 0:
        lines.append("No nodes were eligible for evaluation")
    for datacenter, available in sorted(metric.nodes_available.items()):
        if available == 0:
            lines.append(f'No nodes are available in datacenter "{datacenter}"')
    lines += [f'Class "{name}": {_nodes(n)} excluded by filter' for name, n in _named(metric.class_filtered)]
    lines += [
        f'Constraint "{name}": {_nodes(n)} excluded by filter'
        for name, n in _most(metric.constraint_filtered)
    ]
    if metric.nodes_exhausted:
        lines.append(f"Resources exhausted on {_nodes(metric.nodes_exhausted)}")
    lines += [f'Class "{name}" exhausted on {_nodes(n)}' for name, n in _named(metric.class_exhausted)]
    lines += [f'Dimension "{name}" exhausted on {_nodes(n)}' for name, n in _most(metric.dimension_exhausted)]
    if not with_advice:
        return lines
    if metric.nearest_miss is not None and metric.nearest_miss.lacks:
        near = metric.nearest_miss
        name = near.node_name or near.node_id[:8]
        lines.append(f"Nearest miss: node {name}, which lacks {'; '.join(near.lacks)}")
    lines += [f"It would be placed if: {suggestion}" for suggestion in metric.suggestions]
    return lines


def score_lines(metric: AllocMetric) -> list[str]:
    """The best nodes, each with its score and the parts that it is the mean of."""
    lines = []
    for score in metric.score_meta_data:
        parts = ", ".join(f"{clean(name)} {value:.3f}" for name, value in sorted(score.scores.items()))
        lines.append(f"{score.node_id[:8]}  {score.norm_score:.3f} = mean of {parts}")
    return lines


def _nodes(count: int) -> str:
    return many(count, "node")


def _named(classes: Mapping[str, int]) -> list[tuple[str, int]]:
    """Nodes without a class say nothing by it."""
    return [(name, count) for name, count in _most(classes) if name not in ("", "(none)")]


def _most(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
