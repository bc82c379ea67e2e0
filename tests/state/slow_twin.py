"""The state again, as plain dicts of rows and whole-table scans: slow, short, and obviously right.

It knows nothing of blocks, columns, codes, shards, indexes or counters; each question is answered by looking at
every row. Rules are written anew from the reference, not shared with daemon/state.
"""

from __future__ import annotations

from msgspec.structs import replace

from daemon.model.alloc import AllocHealth, DesiredTransition
from daemon.model.enums import ClientStatus, EvalStatus, JobStatus, JobType, NodeStatus
from daemon.state import commands as c
from tests.state.rollout_twin import RolloutTwin


class SlowTwin(RolloutTwin):
    def __init__(self):
        self.index = self.time = 0
        self.jobs, self.old, self.nodes, self.evals, self.allocs = {}, {}, {}, {}, {}
        #: node -> ((length, start, forced deadline) or None, eligible)
        self.drains = {}
        self.quarantined = set()
        self.deployments = {}

    def apply(self, command):
        self.index += 1
        self.time = max(self.time, command.time_ns)
        self.lost_evals = set()
        before = dict(self.allocs)
        getattr(self, "on_" + type(command).__name__)(command)
        if not isinstance(command, c.DeploymentHealth):
            self.count(before)
        for key, job in list(self.jobs.items()):
            status = self.status(key, job)
            if status != job.status:
                self.jobs[key] = replace(job, status=status, modify_index=self.index)
            self.old[key] = self.kept(key)

    def status(self, key, job):
        mine = [e for e in self.evals.values() if (e.namespace, e.job_id) == key]
        if job.type == JobType.SYSTEM:
            return JobStatus.DEAD if job.stop else JobStatus.RUNNING
        if any(not a.terminal for a in self.allocs.values() if (a.namespace, a.job_id) == key):
            return JobStatus.RUNNING
        if self.active(key):
            return JobStatus.RUNNING
        if any(not e.terminal for e in mine):
            return JobStatus.PENDING
        dead = job.stop or mine or key in self.lost_evals or job.status == JobStatus.DEAD
        return JobStatus.DEAD if dead else JobStatus.PENDING

    def put_eval(self, e):
        old = self.evals.get(e.id)
        if old and old.terminal and old.status != e.status:
            return
        self.evals[e.id] = replace(
            e,
            create_index=old.create_index if old else self.index,
            create_time_ns=old.create_time_ns if old else e.create_time_ns or self.time,
            modify_index=self.index,
            modify_time_ns=self.time,
        )
        if e.status == EvalStatus.COMPLETE and not e.failed_tg_allocs:
            for o in list(self.evals.values()):
                if o.status == EvalStatus.BLOCKED and (o.namespace, o.job_id) == (e.namespace, e.job_id):
                    self.end_eval(o, EvalStatus.CANCELED, f"evaluation {e.id} placed everything")

    def end_eval(self, e, status, text):
        self.evals[e.id] = replace(
            e, status=status, status_description=text, modify_index=self.index, modify_time_ns=self.time
        )

    def on_Noop(self, command):
        pass

    def on_JobRegister(self, command):
        key = command.job.key
        old = self.jobs.get(key)
        if command.enforce_index is not None and command.enforce_index != (
            old.job_modify_index if old else 0
        ):
            return
        if old and old.type != command.job.type:
            return
        if old is None or self.bare(old) != self.bare(command.job):
            if old:
                self.old.setdefault(key, []).insert(0, old)
            self.jobs[key] = replace(
                command.job,
                version=old.version + 1 if old else 0,
                status=JobStatus.PENDING,
                create_index=old.create_index if old else self.index,
                modify_index=self.index,
                job_modify_index=self.index,
            )
        if command.evaluation:
            at = self.jobs[key].job_modify_index
            self.put_eval(replace(command.evaluation, job_modify_index=at))

    @staticmethod
    def bare(job):
        return (job.id, job.priority, job.stop, job.type, job.task_groups, job.meta)

    def on_JobDeregister(self, command):
        key = (command.namespace, command.job_id)
        job = self.jobs.get(key)
        if job is None:
            return
        if command.purge:
            self.purge(key)
        elif not job.stop:
            self.old.setdefault(key, []).insert(0, job)
            self.jobs[key] = job = replace(
                job, stop=True, version=job.version + 1, modify_index=self.index, job_modify_index=self.index,
                stable=False, version_tag=None, reverts_to=-1,
            )  # fmt: skip
        if command.evaluation:
            self.put_eval(replace(command.evaluation, job_modify_index=job.job_modify_index))

    def purge(self, key):
        self.allocs = {i: a for i, a in self.allocs.items() if (a.namespace, a.job_id) != key}
        for e in list(self.evals.values()):
            if (e.namespace, e.job_id) == key and not e.terminal:
                self.end_eval(e, EvalStatus.COMPLETE, "the job was purged")
        self.deployments = {i: d for i, d in self.deployments.items() if (d.namespace, d.job_id) != key}
        del self.jobs[key]
        self.old.pop(key, None)

    def on_EvalsUpsert(self, command):
        for e in command.evaluations:
            self.put_eval(e)

    def on_NodeRegister(self, command):
        # attributes are the only shape that the random commands change.
        old, new = self.nodes.get(command.node.id), command.node
        if old is None:
            self.drains[new.id] = (None, True)
            self.quarantined.discard(new.id)
            self.nodes[new.id] = (new.status, new.attributes, self.index)
        elif old[1] != new.attributes:
            self.nodes[new.id] = (old[0], new.attributes, self.index)

    def on_NodeStatusUpdate(self, command):
        for node_id in command.node_ids:
            if node_id in self.nodes:
                status, attributes, epoch = self.nodes[node_id]
                epoch = self.index if status != command.status else epoch
                self.nodes[node_id] = (command.status, attributes, epoch)

    def on_NodeDrain(self, command):
        if command.node_id not in self.nodes:
            return
        old, eligible = self.drains[command.node_id]
        if command.drain is None:
            if old is None and not command.mark_eligible:
                return
            new, eligible = None, eligible or command.mark_eligible
        else:
            length, begun = command.drain.deadline_ns, old[1] if old else self.time
            new, eligible = (length, begun, self.time + length if length > 0 else 0), False
        self.drain(command.node_id, new, eligible)

    def on_DrainsComplete(self, command):
        for node_id, begun in command.drains.items():
            old, eligible = self.drains[node_id] if node_id in self.nodes else (None, True)
            if old and old[1] == begun:
                self.drain(node_id, None, eligible)

    def on_NodesQuarantine(self, command):
        for node_id, mark in command.marks.items():
            out = mark is not None and not mark.held_back
            if node_id in self.nodes and out != (node_id in self.quarantined):
                self.nodes[node_id] = (*self.nodes[node_id][:2], self.index)
                self.quarantined ^= {node_id}

    def drain(self, node_id, new, eligible):
        if self.drains[node_id] != (new, eligible):
            self.nodes[node_id] = (*self.nodes[node_id][:2], self.index)
        self.drains[node_id] = (new, eligible)

    def on_JobScale(self, command):
        key = (command.namespace, command.job_id)
        job = self.jobs.get(key)
        if job is None:
            return
        group, count = job.task_groups[0], command.count
        mine = [d for d in self.deployments.values() if (d.namespace, d.job_id) == key]
        latest = max(mine, key=lambda d: (d.create_index, d.id), default=None)
        if count is None:
            return
        if job.stop or (job.type == JobType.SYSTEM and count > 1) or (latest and latest.active):
            return
        if count != group.count:
            self.old.setdefault(key, []).insert(0, job)
            self.jobs[key] = job = replace(
                job, task_groups=(replace(group, count=count),), version=job.version + 1, version_tag=None,
                status=JobStatus.PENDING, stable=False, modify_index=self.index, job_modify_index=self.index,
            )  # fmt: skip
        if command.evaluation:
            self.put_eval(replace(command.evaluation, job_modify_index=job.job_modify_index))

    def on_PlanApply(self, command):
        key = (command.namespace, command.job_id)
        job = self.jobs.get(key)
        moved = job is None or job.stop or job.version != command.job_version
        versions = {j.version for j in [job, *self.old.get(key, [])] if j}
        full, placed = True, set()
        for change in command.deployment_changes:
            row = self.deployments.get(change.deployment_id)
            if row is not None and row.active:
                self.set_status(row, change.status)
        if command.deployment is not None:
            self.begin(command.deployment, moved)
        rows = []
        for b in command.blocks:
            rows += [(b.row(n), dict(zip(b.nodes, b.node_epochs, strict=True))) for n in range(b.count)]
        rows += [(a, command.node_epochs) for a in command.allocs]
        for a, epochs in rows:
            node = self.nodes.get(a.node_id)
            known = a.id in self.allocs
            if (
                moved
                or a.job_version not in versions
                or not node
                or node[2] != epochs.get(a.node_id)
                or known
            ):
                full = False
                continue
            self.allocs[a.id] = replace(
                a,
                create_index=self.index,
                modify_index=self.index,
                alloc_modify_index=self.index,
                create_time_ns=self.time,
                modify_time_ns=self.time,
            )
            placed.add(a.id)
            before = self.allocs.get(a.previous_allocation)
            if before:
                self.change(before, next_allocation=a.id)
        for s in command.stops:
            a = self.allocs.get(s.alloc_id)
            if a is None or (s.replaced_by and s.replaced_by not in placed):
                continue
            facts = {"alloc_modify_index": self.index}
            if not a.server_terminal:
                facts |= {"desired_status": s.desired_status, "desired_description": s.desired_description}
            if s.client_status and not a.client_terminal:
                facts |= {"client_status": s.client_status, "client_description": s.desired_description}
                if s.client_status == ClientStatus.LOST:
                    facts["away_since_ns"] = self.time
            self.change(a, **facts)
        for u in command.in_place:
            a = self.allocs.get(u.alloc_id)
            if a is None or a.terminal:
                continue
            if moved:
                full = False
                continue
            facts = {"job_version": u.job_version, "job_spec_index": u.job_spec_index}
            if u.deployment_id not in ("", a.deployment_id):
                facts["deployment_status"] = None
            self.change(a, deployment_id=u.deployment_id, alloc_modify_index=self.index, **facts)
        for e in command.evaluations:
            if full or not (e.id == command.eval_id or e.status == EvalStatus.BLOCKED):
                self.put_eval(e)

    def change(self, a, **facts):
        self.allocs[a.id] = replace(a, modify_index=self.index, modify_time_ns=self.time, **facts)

    def on_AllocClientUpdate(self, command):
        node = self.nodes.get(command.node_id)
        if node is None or node[0] in (NodeStatus.DOWN, NodeStatus.DISCONNECTED):
            return
        for u in command.updates:
            a = self.allocs.get(u.alloc_id)
            if a is None or a.node_id != command.node_id:
                continue
            over = a.client_status in (ClientStatus.COMPLETE, ClientStatus.FAILED)
            if over and u.client_status != a.client_status:
                continue
            facts = {"task_states": u.task_states or a.task_states}
            if a.client_status != ClientStatus.LOST:
                facts |= {"client_status": u.client_status, "client_description": u.client_description}
            if u.health and u.deployment_id in (None, a.deployment_id):
                canary = bool(a.deployment_status and a.deployment_status.canary)
                facts["deployment_status"] = AllocHealth(
                    healthy=u.health.healthy, timestamp_ns=self.time, canary=canary, modify_index=self.index
                )
            self.change(a, **facts)

    def on_AllocTransition(self, command):
        for alloc_id in command.transitions:
            a = self.allocs.get(alloc_id)
            if a:
                self.change(a, desired_transition=DesiredTransition(migrate=True))

    def on_Collect(self, command: c.Collect):
        for alloc_id in command.allocs:
            a = self.allocs.get(alloc_id)
            if a and a.terminal and not (a.client_status == ClientStatus.RUNNING and a.node_id in self.nodes):
                del self.allocs[alloc_id]
        for eval_id in command.evals:
            e = self.evals.get(eval_id)
            if e and e.terminal:
                self.lost_evals.add((e.namespace, e.job_id))
                del self.evals[eval_id]
        for key in command.jobs:
            job = self.jobs.get(key)
            mine = [e for e in self.evals.values() if (e.namespace, e.job_id) == key]
            live = any(not a.terminal for a in self.allocs.values() if (a.namespace, a.job_id) == key)
            if job is None or live or any(not e.terminal for e in mine):
                continue
            if not job.stop and self.status(key, job) != JobStatus.DEAD and job.status != JobStatus.DEAD:
                continue
            if any(j.version_tag for j in [job, *self.old.get(key, [])]):
                continue
            self.purge(key)
            for e in mine:
                del self.evals[e.id]
        for deployment_id in command.deployments:
            row = self.deployments.get(deployment_id)
            live = [a for a in self.allocs.values() if a.deployment_id == deployment_id and not a.terminal]
            if row is not None and not row.active and not live:
                del self.deployments[deployment_id]
        for node_id in command.nodes:
            node = self.nodes.get(node_id)
            held = any(not a.terminal for a in self.allocs.values() if a.node_id == node_id)
            if node and node[0] == NodeStatus.DOWN and not held:
                del self.nodes[node_id]
