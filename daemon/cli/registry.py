"""The table of commands: path, where its code is, one line of help. Data only.

Theory: help, completion and the aliases are made from this table, so that `encamp --help` imports no command, and
one command imports no other.
"""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """A command (`target` is module:name under daemon.cli.commands) or a group (no target)."""

    path: str
    target: str
    help: str

    @property
    def name(self) -> str:
        """The last word of the path."""
        return self.path.rpartition(" ")[2]


TABLE: tuple[Entry, ...] = (
    Entry("agent", "agent:agent", "Run the agent: server, node, or both."),
    Entry("job", "", "Submit jobs and look after them."),
    Entry("job init", "job_init:init", "Write an example job file."),
    Entry("job validate", "job_validate:validate", "Check a job file, without an agent."),
    Entry("job plan", "job_plan:plan", "Show what running a job file would change."),
    Entry("job run", "job_run:run", "Submit a job file and follow it until it is healthy."),
    Entry("job status", "job_status:status", "List jobs, or show one."),
    Entry("job why", "job_why:why", "Explain why a job is not running."),
    Entry("job logs", "job_logs:logs", "Show the output of all tasks of a job."),
    Entry("job stop", "job_stop:stop", "Stop a job and wait until it has stopped."),
    Entry("job restart", "job_restart:restart", "Restart the allocations of a job in batches."),
    Entry("job inspect", "job_inspect:inspect", "Print a job as JSON or as its source."),
    Entry("job history", "job_inspect:history", "List the versions of a job."),
    Entry("job deployments", "job_versions:deployments", "List the rollouts of a job."),
    Entry("job promote", "job_versions:promote", "Let the rest of a job follow its canaries."),
    Entry("job revert", "job_versions:revert", "Bring back an earlier version of a job."),
    Entry("job tag", "", "Names of versions."),
    Entry("job tag apply", "job_versions:tag_apply", "Name a version of a job, so that it is kept."),
    Entry("job tag unset", "job_versions:tag_unset", "Take a name off a version."),
    Entry("job dispatch", "job_dispatch:dispatch", "Launch a parameterized job."),
    Entry("job scale", "job_scale:scale", "Change the count of a group."),
    Entry("job scaling-events", "job_scale:events", "List the last changes of count of a job."),
    Entry("job periodic", "", "Periodic jobs."),
    Entry("job periodic force", "job_dispatch:force", "Launch a periodic job now."),
    Entry("job eval", "job_eval:evaluate", "Make the servers look at a job again."),
    Entry("alloc", "", "Look into allocations and act on them."),
    Entry("alloc status", "alloc_status:status", "Show an allocation, its tasks and what happened to them."),
    Entry("alloc logs", "alloc_logs:logs", "Show the output of a task."),
    Entry("alloc exec", "alloc_exec:exec_", "Run a command inside a task."),
    Entry("alloc fs", "alloc_fs:fs", "List and read the files of an allocation."),
    Entry("alloc stop", "alloc_act:stop", "Stop an allocation; it is placed anew."),
    Entry("alloc restart", "alloc_act:restart", "Restart the tasks of an allocation in place."),
    Entry("alloc signal", "alloc_act:signal", "Send a signal to the tasks of an allocation."),
    Entry("node", "", "Look at the machines that run tasks."),
    Entry("node status", "node_status:status", "List nodes, or show one."),
    Entry("node eligibility", "node_eligibility:eligibility", "Allow or forbid new work on a node."),
    Entry("node drain", "node_drain:drain", "Move all work off a node."),
    Entry("deployment", "", "Look at rollouts of jobs and steer them."),
    Entry("deployment list", "deployments:list_", "List deployments."),
    Entry("deployment status", "deployments:status", "Show a deployment, or follow it."),
    Entry("deployment promote", "deployments:promote", "Let the rest follow the canaries."),
    Entry("deployment pause", "deployments:pause", "Hold a deployment."),
    Entry("deployment resume", "deployments:resume", "Let a paused deployment go on."),
    Entry("deployment fail", "deployments:fail", "End a deployment as failed."),
    Entry("eval", "", "Look at evaluations: requests to bring a job to its desired state."),
    Entry("eval list", "eval_status:list_", "List evaluations."),
    Entry("eval status", "eval_status:status", "Show an evaluation and what it could not place."),
    Entry(
        "simulate", "simulate:simulate", "Show what would be placed where, on a made-up or the live cluster."
    ),
    Entry("operator", "", "Settings of the whole cluster."),
    Entry("operator scheduler", "", "Settings of the scheduler."),
    Entry("operator scheduler get-config", "operator_scheduler:get_config", "Show the scheduler's settings."),
    Entry(
        "operator scheduler set-config", "operator_scheduler:set_config", "Change the scheduler's settings."
    ),
    Entry("monitor", "monitor:monitor", "Follow the log of an agent."),
    Entry("system", "", "Care for the whole system."),
    Entry("system gc", "system_gc:gc", "Forget finished jobs, evaluations and allocations now."),
    Entry("version", "version:version", "Print the version."),
    Entry("completion", "completion:completion", "Print the completion script for a shell."),
)

ALIASES = {
    "init": "job init",
    "validate": "job validate",
    "plan": "job plan",
    "run": "job run",
    "status": "job status",
    "why": "job why",
    "stop": "job stop",
    "inspect": "job inspect",
    "history": "job history",
    "logs": "alloc logs",
    "exec": "alloc exec",
    "fs": "alloc fs",
    "eval-status": "eval status",
    "node-status": "node status",
    "alloc-status": "alloc status",
}


def child(path: str) -> tuple[Entry, ...]:
    """What is directly below a group ("" is the top)."""
    return tuple(entry for entry in TABLE if entry.path.rpartition(" ")[0] == path)
