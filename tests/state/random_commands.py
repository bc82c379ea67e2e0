"""Random commands that are likely to mean something: drawn from a seed, looking at the state they go to."""

from __future__ import annotations

import random
import uuid

from msgspec.structs import replace

from daemon.model.alloc import AllocHealth, DesiredTransition, PortColumn
from daemon.model.deployment import Deployment, DeploymentChange, GroupDeployment
from daemon.model.enums import ClientStatus, DeploymentStatus, EvalStatus, JobType, NodeStatus, Trigger
from daemon.model.evaluation import Evaluation
from daemon.model.metrics import AllocMetric
from daemon.model.node import DrainStrategy, NodeQuarantine
from daemon.model.plan import InPlaceUpdate
from daemon.model.tasks import TaskState, TaskStateName
from daemon.state import commands as c
from daemon.state.state import State
from tests.state.state_factory import alloc, block, job, node, plan, stop, u16, uid

JOBS = ("web", "db", "cron")


class Commands:
    """Draws commands; `state` is only looked at."""

    def __init__(self, seed: int, state: State) -> None:
        self.random = random.Random(seed)
        self.state = state
        self.next_alloc = 0
        self.next_eval = 0
        self.next_deployment = 0
        self.time = 100

    def draw(self) -> c.AnyCommand:
        self.time += self.random.randrange(-3, 20)
        kinds = [
            self.register, self.register, self.deregister, self.evals, self.node, self.node, self.status,
            self.plan, self.plan, self.plan, self.plan, self.report, self.report, self.report,
            self.drain, self.drained, self.quarantine, self.scale,
            self.transition, self.collect, self.deployment_status, self.promote, self.judge, self.stable,
            self.tag,
        ]  # fmt: skip
        return self.random.choice(kinds)()

    def eval_of(self, job_id: str, status: EvalStatus | None = None) -> Evaluation:
        known = [e.id for e in self.state.evals_by_job("default", job_id)]
        if known and self.random.random() < 0.3:
            eval_id = self.random.choice(known)
        else:
            self.next_eval += 1
            eval_id = uid(self.next_eval, 2)
        status = status or self.random.choice(list(EvalStatus))
        failed = {"g": AllocMetric()} if self.random.random() < 0.2 else {}
        return Evaluation(
            id=eval_id, job_id=job_id, type="service", triggered_by=Trigger.JOB_REGISTER,
            status=status, failed_tg_allocs=failed, queued_allocations={"g": len(failed)},
        )  # fmt: skip

    def register(self):
        job_id = self.random.choice(JOBS)
        made = job(
            job_id, count=self.random.randrange(1, 4), meta={"v": str(self.random.randrange(3))},
            type=JobType.SYSTEM if job_id == "db" else JobType.SERVICE,
        )  # fmt: skip
        evaluation = self.eval_of(job_id, EvalStatus.PENDING) if self.random.random() < 0.7 else None
        enforce = self.random.choice([None, None, None, 0, 5])
        return c.JobRegister(time_ns=self.time, job=made, evaluation=evaluation, enforce_index=enforce)

    def deregister(self):
        job_id = self.random.choice(JOBS)
        return c.JobDeregister(
            time_ns=self.time, namespace="default", job_id=job_id, purge=self.random.random() < 0.2,
            evaluation=self.random.choice([None, self.eval_of(job_id, EvalStatus.PENDING)]),
        )  # fmt: skip

    def evals(self):
        job_ids = [self.random.choice(JOBS) for _ in range(self.random.randrange(1, 4))]
        return c.EvalsUpsert(time_ns=self.time, evaluations=tuple(self.eval_of(j) for j in job_ids))

    def node(self):
        number = self.random.randrange(5)
        attributes = {"a": str(self.random.randrange(2))}
        return c.NodeRegister(time_ns=self.time, node=node(number, attributes=attributes))

    def status(self):
        return c.NodeStatusUpdate(
            time_ns=self.time,
            node_ids=(uid(self.random.randrange(6), 1),),
            status=self.random.choice([NodeStatus.READY, NodeStatus.READY, NodeStatus.DOWN]),
        )

    def drain(self):
        length = self.random.choice([-1, 0, 40])
        drain = self.random.choice([None, DrainStrategy(deadline_ns=length)])
        return c.NodeDrain(
            time_ns=self.time, node_id=uid(self.random.randrange(6), 1), drain=drain,
            mark_eligible=drain is None and self.random.random() < 0.5,
        )  # fmt: skip

    def drained(self):
        begun = [(n.id, n.drain_strategy.started_at_ns) for n in self.state.nodes() if n.drain_strategy]
        chosen = dict(sorted(begun)[:2])
        late = self.random.random() < 0.2
        return c.DrainsComplete(
            time_ns=self.time, drains={n: at - late for n, at in chosen.items()} | {uid(9, 1): 1}
        )

    def quarantine(self):
        held = self.random.choice(["", "", "observing only"])
        mark = self.random.choice([None, NodeQuarantine(reason="three jobs failed", held_back=held)])
        return c.NodesQuarantine(time_ns=self.time, marks={uid(self.random.randrange(6), 1): mark})

    def scale(self):
        job_id = self.random.choice(JOBS)
        return c.JobScale(
            time_ns=self.time, namespace="default", job_id=job_id, group="g",
            count=self.random.choice([None, 0, 1, 2, 3]), message="m",
            evaluation=self.random.choice([None, self.eval_of(job_id, EvalStatus.PENDING)]),
        )  # fmt: skip

    def plan(self):
        job_id = self.random.choice(JOBS)
        of = self.state.job("default", job_id) or job(job_id)
        nodes = list(self.state.nodes()) or [node(0)]
        nodes.sort(key=lambda n: n.id)
        allocs = sorted(self.state.allocs_by_job("default", job_id), key=lambda a: a.id)
        evaluation = self.eval_of(job_id, EvalStatus.COMPLETE)
        parts = {"blocks": (), "allocs": (), "stops": ()}
        of_deployment = ""
        if self.random.random() < 0.6:
            parts |= self.rollout(of)
            if "deployment" in parts:
                of_deployment = parts["deployment"].id
        elif self.random.random() < 0.5:
            rows = self.state.deployments_by_job("default", job_id)
            of_deployment = rows[0].id if rows else ""
        joins = {"deployment_id": of_deployment}
        canary = bool(of_deployment) and self.random.random() < 0.4
        numbers = list(range(self.next_alloc, self.next_alloc + self.random.randrange(1, 6)))
        self.next_alloc += 10
        if self.random.random() < 0.6:
            stale = self.random.random() < 0.2
            on = self.random.sample(nodes, self.random.randrange(1, len(nodes) + 1))
            facts = {"node_epochs": tuple(n.epoch + stale * (p % 2) for p, n in enumerate(on))}
            if self.random.random() < 0.5:
                facts["ports"] = (PortColumn(label="p", to=1, values=u16(list(range(len(numbers))))),)
            parts["blocks"] = (
                block(numbers, on, of, eval_id=evaluation.id, canary=canary, **joins, **facts),
            )
        on = self.random.choice(nodes)
        previous = self.random.choice([None, *allocs])
        if self.random.random() < 0.5:
            version = max(0, of.version - self.random.randrange(2))
            new = alloc(
                self.next_alloc, on, of, job_version=version,
                previous_allocation=previous.id if previous else "", eval_id=evaluation.id, **joins,
                deployment_status=AllocHealth(canary=True) if canary else None,
            )  # fmt: skip
            self.next_alloc += 10
            parts["allocs"] = (new,)
            if previous:
                parts["stops"] += (stop(previous.id, on, replaced_by=new.id, desired_description="moved"),)
        if allocs and self.random.random() < 0.3:
            lost = self.random.choice([None, ClientStatus.LOST])
            chosen = self.random.choice(allocs)
            parts["stops"] += (stop(chosen.id, on, client_status=lost, desired_description="s"),)
        if allocs and self.random.random() < 0.2:
            chosen = self.random.choice(allocs)
            parts["in_place"] = (
                InPlaceUpdate(
                    alloc_id=chosen.id, node_id=chosen.node_id, job_version=of.version,
                    job_spec_index=of.job_modify_index, **joins,
                    allocated_resources=chosen.allocated_resources,
                ),
            )  # fmt: skip
        known = list(self.state.nodes())
        return plan(
            of, eval_id=evaluation.id, evaluations=(evaluation,), on=known, time_ns=self.time, **parts
        )

    def rollout(self, of):
        """A plan that begins a deployment, brings one again, or ends one."""
        rows = self.state.deployments_by_job("default", of.id)
        if rows and self.random.random() < 0.3:
            status = self.random.choice([DeploymentStatus.SUCCESSFUL, DeploymentStatus.CANCELLED])
            change = DeploymentChange(deployment_id=self.random.choice(rows).id, status=status)
            return {"deployment_changes": (change,)}
        if rows and self.random.random() < 0.5:
            row = self.random.choice(rows)
            group = GroupDeployment(desired_total=9, desired_canaries=1, progress_deadline_ns=50)
            return {"deployment": replace(row, task_groups={"g": group})}
        self.next_deployment += 1
        group = GroupDeployment(
            desired_total=3, desired_canaries=self.random.randrange(3),
            progress_deadline_ns=self.random.choice([0, 50]), auto_revert=True,
        )  # fmt: skip
        return {
            "deployment": Deployment(
                id=uid(self.next_deployment, 4),
                job_id=of.id,
                job_version=of.version,
                task_groups={"g": group},
            )  # fmt: skip
        }

    def some_deployment(self):
        rows = sorted(self.state.deployments(), key=lambda d: d.id)
        return self.random.choice(rows).id if rows else uid(0, 4)

    def deployment_status(self):
        change = DeploymentChange(
            deployment_id=self.some_deployment(), status=self.random.choice(list(DeploymentStatus))
        )
        return c.DeploymentStatusUpdate(time_ns=self.time, change=change, revert=self.random.random() < 0.5)

    def promote(self):
        return c.DeploymentPromote(time_ns=self.time, deployment_id=self.some_deployment())

    def judge(self):
        deployment_id = self.some_deployment()
        mine = sorted(a.id for a in self.state.allocs() if a.deployment_id == deployment_id)
        chosen = self.random.sample(mine, min(len(mine), 3))
        bad = self.random.random() < 0.2
        return c.DeploymentHealth(
            time_ns=self.time, deployment_id=deployment_id, healthy=tuple(chosen[bad:]),
            unhealthy=tuple(chosen[:1] if bad else ()),
        )  # fmt: skip

    def stable(self):
        return c.JobStable(
            time_ns=self.time, namespace="default", job_id=self.random.choice(JOBS),
            version=self.random.randrange(4), stable=self.random.random() < 0.7,
        )  # fmt: skip

    def tag(self):
        return c.JobTag(
            time_ns=self.time, namespace="default", job_id=self.random.choice(JOBS),
            name=self.random.choice("ab"), version=self.random.randrange(-1, 6),
        )  # fmt: skip

    def some_allocs(self):
        allocs = sorted(self.state.allocs(), key=lambda a: a.id)
        return self.random.sample(allocs, min(len(allocs), self.random.randrange(1, 8)))

    def report(self):
        allocs = self.some_allocs()
        node_id = allocs[0].node_id if allocs else uid(0, 1)
        updates = []
        for a in allocs:
            status = self.random.choice(
                [ClientStatus.PENDING, ClientStatus.RUNNING, ClientStatus.COMPLETE, ClientStatus.FAILED]
            )
            states = {"web": TaskState(state=TaskStateName.RUNNING, restarts=self.random.randrange(3))}
            health = AllocHealth(healthy=self.random.random() < 0.5)
            updates.append(
                c.ClientUpdate(
                    alloc_id=a.id, client_status=status,
                    deployment_id=self.random.choice([None, a.deployment_id, uid(1, 4)]),
                    task_states=self.random.choice([{}, states]), health=self.random.choice([None, health]),
                )
            )  # fmt: skip
        return c.AllocClientUpdate(time_ns=self.time, node_id=node_id, updates=tuple(updates))

    def transition(self):
        asked = {a.id: DesiredTransition(migrate=True) for a in self.some_allocs()}
        return c.AllocTransition(time_ns=self.time, transitions=asked)

    def collect(self):
        evals = sorted(e.id for e in self.state.evals())
        return c.Collect(
            time_ns=self.time,
            evals=tuple(self.random.sample(evals, min(3, len(evals)))),
            allocs=tuple(a.id for a in self.some_allocs()),
            deployments=(self.some_deployment(),),
            jobs=tuple(("default", j) for j in JOBS if self.random.random() < 0.3),
            nodes=(uid(self.random.randrange(5), 1), str(uuid.UUID(int=1))),
        )
