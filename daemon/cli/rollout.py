"""What a deployment means for somebody who follows its job. Pure.

Theory: fed the job's latest deployment again and again. While one of the submitted version is under way, it decides:
deadlines are its own, a failure is its matter where it may take the job back, and canaries that are all healthy end
the following unless somebody wants to see the rest.

Source: spec/nomad-surface.md E1; users/wants.md 3.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from daemon.cli.judge import Outcome, Verdict
from daemon.cli.text import clean, short
from daemon.cli.watch import Line
from daemon.model.deployment import Deployment
from daemon.model.enums import DeploymentStatus


@dataclass(slots=True)
class RolloutWatch:
    """Follows the deployment of one job version. `until_healthy`: also past canaries that wait for a person."""

    job_id: str
    version: int
    until_healthy: bool = False
    verbose: bool = False
    _said: str = ""
    _stood: dict[str, tuple[int, int]] = field(default_factory=dict)

    def step(self, deployment: Deployment | None) -> tuple[list[Line], Verdict | None]:
        """Lines for what has changed, and the verdict when the deployment gives one."""
        if deployment is None or deployment.job_version != self.version:
            return [], None
        lines = self._news(deployment)
        if deployment.status in (DeploymentStatus.FAILED, DeploymentStatus.CANCELLED):
            return lines, self._ended(deployment)
        if not self.until_healthy and waits_for_a_person(deployment):
            return lines, self._promotable(deployment)
        return lines, None

    def progress(self, deployment: Deployment) -> list[Line]:
        """How far each group is, when that has changed."""
        lines = []
        for name, group in sorted(deployment.task_groups.items()):
            stands = (group.healthy_allocs, group.unhealthy_allocs)
            if self._stood.get(name) == stands:
                continue
            self._stood[name] = stands
            bad = f", {group.unhealthy_allocs} unhealthy" if group.unhealthy_allocs else ""
            wanted = (
                group.desired_total
                if group.promoted
                else max(group.desired_canaries, 0) or group.desired_total
            )
            lines.append(Line(f'Group "{clean(name)}": {group.healthy_allocs} of {wanted} healthy{bad}'))
        return lines

    def patient(self, deployment: Deployment | None) -> bool:
        """True while only the deployment's own deadlines count."""
        return self._mine(deployment) and (
            deployment is not None
            and (deployment.status == DeploymentStatus.PAUSED or waits_for_a_person(deployment))
        )

    def forgiven(self, deployment: Deployment | None) -> frozenset[str]:
        """Groups whose failures the deployment answers by taking the job back."""
        if deployment is None or not self._mine(deployment):
            return frozenset()
        return frozenset(name for name, group in deployment.task_groups.items() if group.auto_revert)

    def _mine(self, deployment: Deployment | None) -> bool:
        return deployment is not None and deployment.active and deployment.job_version == self.version

    def _news(self, deployment: Deployment) -> list[Line]:
        words = f"{deployment.status}: {deployment.status_description}".rstrip(": ")
        if words == self._said:
            return []
        self._said = words
        return [Line(f'Deployment "{short(deployment.id, self.verbose)}" {clean(words)}', info=True)]

    def _ended(self, deployment: Deployment) -> Verdict:
        id_ = deployment.id[:8]
        return Verdict(
            Outcome.FAILED,
            f'Job "{self.job_id}": the rollout of version {self.version} is {deployment.status}',
            (
                clean(deployment.status_description),
                f"`encamp deployment status {id_}` and `encamp job status {self.job_id}` show more.",
            ),
        )

    def _promotable(self, deployment: Deployment) -> Verdict:
        count = sum(group.desired_canaries for group in deployment.task_groups.values())
        verb = "canary is healthy and waits" if count == 1 else "canaries are healthy and wait"
        return Verdict(
            Outcome.PROMOTABLE,
            f'Job "{self.job_id}": {count} {verb} for promotion',
            (f"`encamp job promote {self.job_id}` rolls version {self.version} out to the rest.",),
        )


def waits_for_a_person(deployment: Deployment) -> bool:
    """True when all canaries are healthy and somebody has to promote them."""
    waiting = [
        group
        for group in deployment.task_groups.values()
        if group.desired_canaries > 0 and not group.promoted
    ]
    return bool(waiting) and all(
        not group.auto_promote and group.healthy_allocs >= group.desired_canaries for group in waiting
    )
