"""The part of the slow twin that knows of deployments, stable versions and tags: whole-table scans again."""

from __future__ import annotations

from msgspec.structs import replace

from daemon.model.alloc import AllocHealth
from daemon.model.deployment import GroupDeployment
from daemon.model.enums import DeploymentStatus, JobStatus
from daemon.model.job import VersionTag

ACTIVE = (DeploymentStatus.RUNNING, DeploymentStatus.PAUSED)


class RolloutTwin:
    """Mixed into SlowTwin: `deployments`, and what follows from the rows before and after an entry."""

    def active(self, key):
        return [d for d in self.deployments.values() if (d.namespace, d.job_id) == key and d.status in ACTIVE]

    def begin(self, wanted, moved):
        known = self.deployments.get(wanted.id)
        if moved or (known and known.status not in ACTIVE):
            return
        for other in self.active((wanted.namespace, wanted.job_id)):
            if other.id != wanted.id:
                self.set_status(other, DeploymentStatus.CANCELLED)
        old = known.task_groups if known else {}
        groups = dict(old)
        for name, group in wanted.task_groups.items():
            seen = old.get(name, GroupDeployment())
            groups[name] = replace(
                seen,
                auto_revert=group.auto_revert,
                auto_promote=group.auto_promote,
                progress_deadline_ns=group.progress_deadline_ns,
                desired_canaries=group.desired_canaries,
                desired_total=group.desired_total,
            )
        self.put(replace(known or wanted, task_groups=groups))

    def put(self, row):
        known = self.deployments.get(row.id)
        self.deployments[row.id] = replace(
            row,
            create_index=known.create_index if known else self.index,
            create_time_ns=known.create_time_ns if known else self.time,
            modify_index=self.index,
            modify_time_ns=self.time,
        )

    def set_status(self, row, status):
        groups = dict(row.task_groups)
        for name, g in groups.items():
            if status == DeploymentStatus.PAUSED:
                groups[name] = replace(g, require_progress_by_ns=0)
            elif status == DeploymentStatus.RUNNING and row.status == DeploymentStatus.PAUSED:
                groups[name] = self.clock_anew(row, g)
        if status == DeploymentStatus.SUCCESSFUL:
            self.set_version((row.namespace, row.job_id), row.job_version, stable=True)
        self.put(replace(row, status=status, task_groups=groups))

    def clock_anew(self, row, group):
        begun = any(g.placed_allocs for g in row.task_groups.values())
        by = self.time + group.progress_deadline_ns
        return replace(group, require_progress_by_ns=by) if begun and group.progress_deadline_ns else group

    def count(self, before):
        """Compare all allocations with how they were: who joined a deployment, whose health was judged."""
        for row in list(self.deployments.values()):
            if row.status not in ACTIVE:
                continue
            groups = dict(row.task_groups)
            joined = False
            for a in self.allocs.values():
                group = groups.get(a.task_group)
                if a.deployment_id != row.id or group is None:
                    continue
                old = before.get(a.id)
                member = old is not None and old.deployment_id == row.id
                facts = {}
                if not member:
                    joined = True
                    facts["placed_allocs"] = group.placed_allocs + 1
                    if a.deployment_status and a.deployment_status.canary:
                        facts["placed_canaries"] = (*group.placed_canaries, a.id)
                was = old.deployment_status.healthy if member and old.deployment_status else None
                now = a.deployment_status.healthy if a.deployment_status else None
                if now is not was and now is not None:
                    facts["healthy_allocs"] = group.healthy_allocs + (now is True) - (was is True)
                    facts["unhealthy_allocs"] = group.unhealthy_allocs + (now is False) - (was is False)
                running = row.status == DeploymentStatus.RUNNING and group.progress_deadline_ns
                if now is True and was is not True and running:
                    by = min(a.deployment_status.timestamp_ns, self.time) + group.progress_deadline_ns
                    facts["require_progress_by_ns"] = max(group.require_progress_by_ns, by)
                groups[a.task_group] = replace(group, **facts)
            if joined and row.status == DeploymentStatus.RUNNING:
                for name, g in groups.items():
                    if not g.require_progress_by_ns and g.progress_deadline_ns:
                        groups[name] = replace(g, require_progress_by_ns=self.time + g.progress_deadline_ns)
            if groups != row.task_groups:
                self.put(replace(row, task_groups=groups))

    def set_version(self, key, version, **facts):
        job = self.jobs.get(key)
        held = [j.version for j in [job, *self.old.get(key, [])] if j]
        if version not in held:
            return
        if "stable" in facts and any(
            j.version == version and j.stable == facts["stable"] for j in [job, *self.old.get(key, [])]
        ):
            return
        if job.version == version:
            self.jobs[key] = replace(job, modify_index=self.index, **facts)
            return
        self.old[key] = [replace(j, **facts) if j.version == version else j for j in self.old[key]]
        self.jobs[key] = replace(job, modify_index=self.index)

    def revert(self, row):
        key = (row.namespace, row.job_id)
        job = self.jobs.get(key)
        if job is None or job.stop or job.version != row.job_version:
            return
        good = [j for j in self.old.get(key, []) if j.stable and not j.stop]
        if not good or self.bare(good[0]) == self.bare(job):
            return
        self.old[key].insert(0, job)
        self.jobs[key] = replace(
            good[0],
            version=job.version + 1,
            reverts_to=good[0].version,
            stable=False,
            version_tag=None,
            status=JobStatus.PENDING,
            submit_time_ns=self.time,
            modify_index=self.index,
            job_modify_index=self.index,
        )

    def on_DeploymentStatusUpdate(self, command):
        row = self.deployments.get(command.change.deployment_id)
        if row is None or row.status not in ACTIVE:
            return
        if command.revert and command.change.status == DeploymentStatus.FAILED:
            self.revert(row)
        self.set_status(row, command.change.status)

    def on_DeploymentPromote(self, command):
        row = self.deployments.get(command.deployment_id)
        if row is None or row.status not in ACTIVE:
            return
        waiting = [n for n, g in row.task_groups.items() if g.desired_canaries and not g.promoted]
        for name in waiting:
            mine = [self.allocs.get(i) for i in row.task_groups[name].placed_canaries]
            good = [a for a in mine if a and not a.terminal and a.deployment_status.healthy]
            if len(good) < row.task_groups[name].desired_canaries:
                return
        if not waiting:
            return
        groups = dict(row.task_groups)
        for name in waiting:
            groups[name] = replace(groups[name], promoted=True)
            if row.status == DeploymentStatus.RUNNING:
                groups[name] = self.clock_anew(row, groups[name])
            for alloc_id in groups[name].placed_canaries:
                a = self.allocs.get(alloc_id)
                if a and a.deployment_status.canary:
                    health = replace(a.deployment_status, canary=False, modify_index=self.index)
                    self.change(a, deployment_status=health)
        self.put(replace(row, task_groups=groups))

    def on_DeploymentHealth(self, command):
        row = self.deployments.get(command.deployment_id)
        ids = {*command.healthy, *command.unhealthy}
        mine = {i: self.allocs.get(i) for i in ids}
        if row is None or row.status not in ACTIVE:
            return
        if any(a is None or a.deployment_id != row.id for a in mine.values()):
            return
        before = dict(self.allocs)
        for alloc_id, a in mine.items():
            canary = bool(a.deployment_status and a.deployment_status.canary)
            health = AllocHealth(
                healthy=alloc_id not in command.unhealthy,
                timestamp_ns=self.time,
                canary=canary,
                modify_index=self.index,
            )
            self.change(a, deployment_status=health)
        self.count(before)
        if command.unhealthy:
            self.set_status(self.deployments[row.id], DeploymentStatus.FAILED)

    def on_JobStable(self, command):
        key = (command.namespace, command.job_id)
        held = [j for j in [self.jobs.get(key), *self.old.get(key, [])] if j]
        if any(j.version == command.version and j.stable != command.stable for j in held):
            self.set_version(key, command.version, stable=command.stable)

    def on_JobTag(self, command):
        key = (command.namespace, command.job_id)
        held = [j for j in [self.jobs.get(key), *self.old.get(key, [])] if j]
        holders = [j.version for j in held if j.version_tag and j.version_tag.name == command.name]
        if command.version < 0:
            for version in holders:
                self.set_version(key, version, version_tag=None)
        elif holders in ([], [command.version]):
            tag = VersionTag(name=command.name, tagged_time_ns=self.time)
            self.set_version(key, command.version, version_tag=tag)

    def kept(self, key):
        """The old versions that are not forgotten."""
        used = {a.job_version for a in self.allocs.values() if (a.namespace, a.job_id) == key}
        old = self.old.get(key, [])
        plain = [j.version for j in old if not j.version_tag]
        stable = [j.version for j in old if j.stable][:1]
        most = plain[:5]
        if len(plain) > 5 and len(old) >= 6 and stable and stable[0] in plain[5:]:
            most = plain[:4] + stable
        return [
            j for j in old if j.version_tag or j.version in most or j.version in used or j.version in stable
        ]
