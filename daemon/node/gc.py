"""Which ended allocations are removed from the node's disk. Pure.

Theory: an ended allocation keeps its directory, so that people can read its logs, until the node needs the space: too
much of the disk or its inodes used, or more allocations than the limit. The oldest go first. The last failed ones of
each group stay whatever the limits say, because they are what somebody will ask for; only a collection by command
takes them too.

Source: spec/nomad-surface.md D (client.gc_*).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from daemon.node.config import GcLimits


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """An ended allocation that still has its directory."""

    alloc_id: str
    #: namespace, job, group.
    group: tuple[str, str, str]
    failed: bool
    done_at_ns: int


class DiskUse(msgspec.Struct, frozen=True, kw_only=True):
    """Use of the file system under the allocations."""

    disk_percent: float = 0.0
    inode_percent: float = 0.0


def reason(use: DiskUse, allocs: int, limits: GcLimits) -> str:
    """Why something must go now, in words; "": nothing must."""
    if use.disk_percent > limits.disk_usage_percent:
        return f"{use.disk_percent:.0f}% of the disk is used, the limit is {limits.disk_usage_percent:g}%"
    if use.inode_percent > limits.inode_usage_percent:
        return (
            f"{use.inode_percent:.0f}% of the inodes are used, the limit is {limits.inode_usage_percent:g}%"
        )
    if allocs > limits.allocs_max:
        return f"the node holds {allocs} allocations, the limit is {limits.allocs_max}"
    return ""


def collectable(ended: Iterable[Ended], *, keep_failed: int) -> list[Ended]:
    """What may go, oldest first: all but the last `keep_failed` failed ones of each group."""
    oldest_first = sorted(ended, key=lambda one: (one.done_at_ns, one.alloc_id))
    kept: dict[tuple[str, str, str], int] = {}
    going = []
    for one in reversed(oldest_first):
        if one.failed and kept.get(one.group, 0) < keep_failed:
            kept[one.group] = kept.get(one.group, 0) + 1
        else:
            going.append(one)
    return going[::-1]
