"""The raw_exec driver: runs a command of the host as it is, beneath the supervisor.

Theory: no isolation, but a cgroup where the machine allows one, so that the whole of what a task forks is
found when it is stopped. CPU shares are set, memory is only counted: a command that was not told about a
limit keeps the host's. Without cgroups a task's processes are found by descent, session and a marker in the
environment, and the fingerprint says so. Off unless the agent is in dev mode or its configuration enables it,
because a job then acts with the agent's own rights.

Not here: isolation (exec), logs, reaping and killing (supervisor).
Source: spec/nomad-surface.md A5; architecture "The node".
"""

from __future__ import annotations

import errno
import fnmatch
import os
from typing import Any, ClassVar, cast

from plugins import configblock
from plugins.cgroups.detect import Machine
from plugins.cgroups.layout import Limits, plan
from plugins.driver import (
    Capabilities,
    ConfigError,
    DriverContext,
    DriverError,
    ExecIO,
    ExitResult,
    Fingerprint,
    TaskConfig,
    TaskHandle,
)
from plugins.raw_exec.config import RawExecConfig, RawExecPluginConfig
from plugins.supervisor.commands import DEFAULT_PATH, find_program
from plugins.supervisor.driver import SupervisedDriver
from plugins.supervisor.streams import run_command
from plugins.supervisor.types import CommandSpec, LogTarget, ProcessSpec, StartFailed, key_of
from plugins.supervisor.users import Account, check_allowed, find_account

#: errors of a start that pass by themselves.
_PASSING = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC)


class RawExecDriver(SupervisedDriver):
    """Runs `command` with `args` on the host."""

    name = "raw_exec"
    capabilities: ClassVar[Capabilities] = Capabilities(fs_isolation="none", network_modes=("host",))
    task_config = RawExecConfig
    plugin_config = RawExecPluginConfig

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        self._config = configblock.decode(RawExecPluginConfig, context.config)

    async def fingerprint(self) -> Fingerprint:
        """Look whether the driver is enabled and the supervisor answers."""
        gone = {"driver.raw_exec": ""}
        if not (self.context.dev or self._config.enabled):
            return Fingerprint(
                health="undetected",
                attributes=gone,
                description='disabled; `plugin "raw_exec" { config { enabled = true } }` in the agent\'s '
                "configuration enables it",
            )
        if self.context.supervisor is None:
            return Fingerprint(
                health="undetected", attributes=gone, description="this agent runs no supervisor"
            )
        if self.context.supervisor.problem:
            return Fingerprint(
                health="unhealthy", attributes=gone, description=self.context.supervisor.problem
            )
        _, why = self.context.supervisor.cgroups()
        note = (
            f"without cgroups ({why}): a program that hides from its task's session may outlive it"
            if why
            else ""
        )
        return Fingerprint(attributes={"driver.raw_exec": "1"}, description=note)

    async def start(self, task: TaskConfig) -> TaskHandle:
        """Start the command."""
        if not (self.context.dev or self._config.enabled):
            raise DriverError("driver 'raw_exec' is disabled on this node")
        try:
            config = configblock.decode(RawExecConfig, task.config)
        except ConfigError as error:
            raise DriverError(f"task config: {error}") from error
        account = find_account(task.user or str(os.geteuid()))
        check_allowed(self.name, account, self._config.denied_host_uids, self._config.denied_host_gids)
        env = self._environment(task, config)
        program = find_program(config.command, task.task_dir, env.get("PATH") or DEFAULT_PATH)
        spec = self._spec(task, config, account, program, env)
        try:
            info = await self.supervisor.start(spec)
        except StartFailed as error:
            raise _explain(error, spec) from error
        return self.remember(
            info, {"cgroup": spec.cgroup, "task_dir": task.task_dir, "path": env.get("PATH", "")}
        )

    def _environment(self, task: TaskConfig, config: RawExecConfig) -> dict[str, str]:
        denied = [*self._config.denied_envvars, *config.denied_envvars]
        return {
            key: value
            for key, value in task.env.items()
            if not any(fnmatch.fnmatchcase(key, pattern) for pattern in denied)
        }

    def _spec(
        self, task: TaskConfig, config: RawExecConfig, account: Account, program: str, env: dict[str, str]
    ) -> ProcessSpec:
        machine, _ = self.supervisor.cgroups()
        cgroup: dict[str, Any] | None = None
        join = _overridden(machine, config)
        if not join and machine is not None:
            limits = Limits(cpu_shares=task.limits.cpu_mhz, cores=",".join(map(str, task.limits.cores)))
            cgroup = cast(
                dict[str, Any], plan(machine, self.supervisor.cgroup_parent, key_of(task.id), limits)
            )
            join = cgroup["dirs"]
        return ProcessSpec(
            id=task.id,
            argv=[program, *config.args],
            env=env,
            cwd=config.work_dir or task.task_dir,
            # without a user the task stays what the agent is; only root can change anyway
            uid=account.uid if task.user else -1,
            gid=account.gid if task.user else -1,
            groups=account.groups if task.user else [],
            oom_score_adj=config.oom_score_adj or None,
            cgroup=cgroup,
            join=join,
            logs=LogTarget.of(task.logs, task.task),
        )

    async def exec(
        self, task_id: str, argv: list[str], *, tty: bool, io: ExecIO, env: dict[str, str] | None = None
    ) -> ExitResult:
        """Run a command as the task's user in its directory, environment and cgroup."""
        state = self.known(task_id).state
        program = find_program(argv[0], state["task_dir"], state["path"] or DEFAULT_PATH)
        spec = CommandSpec(argv=[program, *argv[1:]], env=env or {}, tty=tty)
        try:
            return await run_command(self.supervisor, task_id, spec, io)
        except StartFailed as error:
            raise DriverError(f"cannot run {program!r}: {error}") from error


def _overridden(machine: Machine | None, config: RawExecConfig) -> list[str]:
    """Return the cgroups that the job names in place of an own one.

    Raises: DriverError when one is missing.
    """
    if machine is None:
        return []
    if machine.version == 2:
        wanted = {"": config.cgroup_v2_override} if config.cgroup_v2_override else {}
    else:
        wanted = config.cgroup_v1_override
    found = []
    for controller, path in wanted.items():
        root = machine.roots.get(controller)
        if root is None:
            known = ", ".join(sorted(machine.roots))
            raise DriverError(
                f"cgroup_v1_override: controller {controller!r} is not mounted here (there are: {known})"
            )
        full = path if path.startswith(root + "/") else os.path.join(root, path.lstrip("/"))
        if not os.path.exists(full + "/cgroup.procs"):
            raise DriverError(f"cgroup override: {full!r} is not a cgroup on this node")
        found.append(full)
    return found


def _explain(error: StartFailed, spec: ProcessSpec) -> DriverError:
    """Return a failed start in words of the job file."""
    passing = error.errno in _PASSING
    if error.stage == "exec":
        hint = (
            " (is its first line a `#!` that names an interpreter?)" if error.errno == errno.ENOEXEC else ""
        )
        return DriverError(f"cannot run {spec.argv[0]!r}: {error}{hint}", recoverable=passing)
    if error.stage == "work_dir":
        return DriverError(
            f"cannot enter work_dir {spec.cwd!r} as uid {spec.uid}: {error}", recoverable=passing
        )
    if error.stage == "user":
        return DriverError(f"cannot become uid {spec.uid}, gid {spec.gid}: {error}", recoverable=passing)
    return DriverError(f"cannot start {spec.argv[0]!r}: {error}", recoverable=passing)
