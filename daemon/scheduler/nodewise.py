"""What becomes of the allocations of a system or sysbatch job, each judged by its own node. Pure.

Theory: such a job has one allocation of a group on every node that it targets. For each one, the first rule that
applies: its node is lost; its node is out of sight and it is waited for; its stop was asked for; the node is not
targeted (or takes no new work, and the spec has changed); the spec has changed; else it goes on. Rows of nodes that
are served leave `missing`; what ended of a sysbatch job serves its node as long as the spec is the same.

Source: spec/scheduler.md 7.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from daemon.model.alloc import Allocation
from daemon.model.enums import ClientStatus, JobType
from daemon.model.job import Job, TaskGroup
from daemon.model.plan import NodeView
from daemon.scheduler.classify import fate, lost_after_ns
from daemon.scheduler.decision import GroupDecision, Stop
from daemon.scheduler.reconcile import NODE_LOST
from daemon.scheduler.updates import is_destructive
from daemon.state.columns import Mask
from daemon.state.fleet import Fleet

NOT_TARGETED = "the job does not ask for this node any more"
ASKED = "its stop was asked for"


@dataclass
class Nodewise:
    """The facts that all groups share."""

    job: Job
    versions: dict[int, Job]
    nodes: dict[str, NodeView]
    fleet: Fleet
    now_ns: int
    serves: Callable[[Allocation, TaskGroup], bool]

    def judge(
        self,
        group: TaskGroup,
        allocs: list[Allocation],
        targeted: Mask,
        missing: Mask,
        decision: GroupDecision,
    ) -> list[Allocation]:
        """Sort a group's allocations into the decision. Returns those that must be replaced, by node."""
        destructive = [
            alloc for alloc in allocs if self._judge_one(group, alloc, targeted, missing, decision)
        ]
        return sorted(destructive, key=lambda alloc: alloc.node_id)

    def _judge_one(
        self, group: TaskGroup, alloc: Allocation, targeted: Mask, missing: Mask, decision: GroupDecision
    ) -> bool:
        """True when it must be replaced by one of the newest spec."""
        row = self.fleet.row_of.get(alloc.node_id, -1)
        changed = alloc.job_spec_index != self.job.job_modify_index
        if alloc.terminal:
            if self.job.type == JobType.SYSBATCH and alloc.client_terminal and not changed and row >= 0:
                missing[row] = False
            return False
        what = fate(alloc, self.nodes.get(alloc.node_id), group.disconnect, self.now_ns)
        if what == "lost":
            decision.stops.append(Stop(alloc, NODE_LOST, ClientStatus.LOST))
            return False
        if what == "disconnecting":
            decision.unknown.append((self.now_ns + lost_after_ns(group.disconnect), alloc))
        if what == "disconnecting" or alloc.client_status == ClientStatus.UNKNOWN:
            decision.ignored += 1
            if row >= 0:
                missing[row] = False
            return False
        if what == "reconnecting":
            decision.reconnected.append(alloc)
        if alloc.desired_transition.migrate:
            decision.stops.append(Stop(alloc, ASKED))
            return False
        node = self.nodes.get(alloc.node_id)
        if node is not None and node.draining:
            # it stays until the drain asks for its stop, whatever the spec says by now
            decision.ignored += 1
            return False
        ready = row >= 0 and bool(self.fleet.ready[row])
        if row < 0 or (not ready and changed) or (ready and not targeted[row]):
            decision.stops.append(Stop(alloc, NOT_TARGETED))
            return False
        missing[row] = False
        if not ready or not changed:
            decision.ignored += 1
            return False
        old = self.versions.get(alloc.job_version)
        if is_destructive(old, self.job, group.name) or not self.serves(alloc, group):
            return True
        decision.in_place.append(alloc)
        return False
