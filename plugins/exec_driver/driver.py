"""The exec driver: runs a command isolated by runc or crun, detached beneath the supervisor.

Theory: the runtime is a launcher: `run --detach` sets the container up, names the pid of its first process
and ends, and the supervisor, as subreaper, becomes the parent of that process and treats it like any other
task. So nothing here outlives the agent but the task itself, and recovery is the supervisor's. Not root
unless the operator allows it: the user is `nobody` when the job names none.

Not here: pulling anything; a task's files come from the node (artifacts, templates) and from the host.
Source: spec/nomad-surface.md A5; OCI runtime specification.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, ClassVar, cast

from plugins import configblock
from plugins.cgroups.detect import Machine
from plugins.cgroups.layout import plan_for_runtime
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
    TaskNotFound,
)
from plugins.exec_driver import runtime
from plugins.exec_driver.bundle import Wanted, configuration
from plugins.exec_driver.capabilities import choose
from plugins.exec_driver.config import ExecConfig, ExecPluginConfig
from plugins.exec_driver.root import find_inside, view
from plugins.exec_driver.runtime import Runtime
from plugins.supervisor.commands import DEFAULT_PATH
from plugins.supervisor.driver import SupervisedDriver
from plugins.supervisor.streams import run_command
from plugins.supervisor.types import CommandSpec, Launcher, LogTarget, ProcessSpec, StartFailed, key_of
from plugins.supervisor.users import Account, check_allowed, find_account

_DEFAULT_USER = "nobody"


class ExecDriver(SupervisedDriver):
    """Runs `command` with `args` in a container made of the host's own files."""

    name = "exec"
    capabilities: ClassVar[Capabilities] = Capabilities(
        fs_isolation="chroot", network_modes=("host", "none"), mounts=True
    )
    task_config = ExecConfig
    plugin_config = ExecPluginConfig

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        self._config = configblock.decode(ExecPluginConfig, context.config)
        self._bundles = context.data_dir / "bundles"
        self._runtime = Runtime(runtime.find_program(), context.data_dir / "runtime")

    async def fingerprint(self) -> Fingerprint:
        """Look for a runtime, the right to use it, and the supervisor."""
        why = self._missing()
        gone = {"driver.exec": "", "driver.exec.runtime": ""}
        if why:
            return Fingerprint(health="undetected", attributes=gone, description=why)
        assert self.context.supervisor is not None
        if self.context.supervisor.problem:
            return Fingerprint(
                health="unhealthy", attributes=gone, description=self.context.supervisor.problem
            )
        found = await runtime.version(self._runtime.program)
        if not found:
            return Fingerprint(
                health="unhealthy", attributes=gone, description=f"{self._runtime.program} --version fails"
            )
        return Fingerprint(attributes={"driver.exec": "1", "driver.exec.runtime": found})

    def _missing(self) -> str:
        """Return why the driver cannot work here; empty: it can."""
        if self.context.supervisor is None:
            return "this agent runs no supervisor"
        machine, why = self.context.supervisor.cgroups()
        program = runtime.find_program()
        if not program:
            return "no OCI runtime: neither runc nor crun is on the PATH"
        if os.path.basename(program) == "crun" and machine is not None and "unified" in machine.roots:
            return (
                "crun cannot work with this machine's hybrid cgroups (v1 and v2 mounted together); runc can"
            )
        # it may have been installed since
        self._runtime = self._runtime._replace(program=program)
        if os.geteuid() != 0:
            return f"needs root to make namespaces and cgroups; the agent runs as uid {os.geteuid()}"
        return why

    async def start(self, task: TaskConfig) -> TaskHandle:
        """Write the bundle and let the runtime run it."""
        if why := self._missing():
            raise DriverError(f"driver 'exec' cannot work on this node: {why}")
        try:
            config = configblock.decode(ExecConfig, task.config)
        except ConfigError as error:
            raise DriverError(f"task config: {error}") from error
        machine, _ = self.supervisor.cgroups()
        assert machine is not None
        key = key_of(task.id)
        bundle = self._bundles / key
        state = {
            "cgroup": plan_for_runtime(machine, self.supervisor.cgroup_parent, key),
            "bundle": str(bundle),
            "runtime": self._runtime.program,
        }
        try:
            # after a crash of the agent it may run already; its bundle must then be left alone
            return self.remember(await self.supervisor.recover(task.id), state)
        except TaskNotFound:
            pass
        account = self._account(task)
        wanted = self._wanted(task, config, account, machine, key)
        self._write(bundle, configuration(wanted))
        try:
            info = await self.supervisor.start(self._spec(task, account, bundle, key, state))
        except StartFailed as error:
            words = runtime.complaint(bundle) or str(error)
            await self._remove(bundle, key)
            raise DriverError(f"{self._runtime.name} cannot run {wanted.argv[0]!r}: {words}") from error
        return self.remember(info, state)

    def _account(self, task: TaskConfig) -> Account:
        account = find_account(task.user or _DEFAULT_USER)
        if account.uid == 0 and not self._config.allow_root:
            raise DriverError(
                "driver 'exec' may not run as root; the operator allows it by "
                '`plugin "exec" { config { allow_root = true } }`'
            )
        check_allowed(self.name, account, self._config.denied_host_uids, self._config.denied_host_gids)
        return account

    def _wanted(
        self, task: TaskConfig, config: ExecConfig, account: Account, machine: Machine, key: str
    ) -> Wanted:
        if task.network_mode not in self.capabilities.network_modes:
            raise DriverError(f"driver 'exec' knows network modes host and none, not {task.network_mode!r}")
        capabilities, refused = choose(config.cap_add, config.cap_drop, self._config.allow_caps)
        if refused:
            raise DriverError(
                f'cap_add: {", ".join(refused)} not allowed by this node\'s `plugin "exec"` block (allow_caps)'
            )
        pieces = view(task)
        env = {"PATH": DEFAULT_PATH, **task.env}
        program = find_inside(config.command, env["PATH"], pieces, task.task_dir)
        return Wanted(
            argv=[program, *config.args],
            env=env,
            work_dir=config.work_dir or "/",
            account=account,
            task_dir=task.task_dir,
            pieces=pieces,
            capabilities=capabilities,
            host_pid=(config.pid_mode or self._config.default_pid_mode) == "host",
            host_ipc=(config.ipc_mode or self._config.default_ipc_mode) == "host",
            network=task.network_mode,
            limits=task.limits,
            pids_limit=self._config.pids_limit,
            cgroup_path=f"/{self.supervisor.cgroup_parent}/{key}",
            has_swap=_has_swap(machine),
            has_recursive_read_only=_kernel() >= (5, 12),
        )

    def _write(self, bundle: Path, config: dict[str, Any]) -> None:
        try:
            shutil.rmtree(bundle, ignore_errors=True)
            bundle.mkdir(mode=0o700, parents=True)
            self._runtime.state_dir.mkdir(mode=0o700, exist_ok=True)
            (bundle / "config.json").write_text(json.dumps(config))
        except OSError as error:
            raise DriverError(
                f"cannot write the container's files in {bundle}: {error}", recoverable=True
            ) from error

    def _spec(
        self, task: TaskConfig, account: Account, bundle: Path, key: str, state: dict[str, Any]
    ) -> ProcessSpec:
        options = ["--no-pivot"] if self._config.no_pivot_root else []
        pid_file = str(bundle / "pid")
        return ProcessSpec(
            id=task.id,
            argv=self._runtime.command(
                bundle, "run", "--detach", "--bundle", str(bundle), "--pid-file", pid_file, *options, key
            ),
            env={"PATH": os.environ.get("PATH", DEFAULT_PATH)},
            log_uid=account.uid,
            cgroup=cast(dict[str, Any], state["cgroup"]),
            logs=LogTarget.of(task.logs, task.task),
            launcher=Launcher(pid_file=pid_file),
        )

    async def destroy(self, task_id: str) -> None:
        """Kill the task and remove the container and its bundle."""
        await super().destroy(task_id)
        key = key_of(task_id)
        await self._remove(self._bundles / key, key)

    async def _remove(self, bundle: Path, key: str) -> None:
        if (self._runtime.state_dir / key).exists() and self._runtime.program:
            status, output = await runtime.call(self._runtime.command(bundle, "delete", "--force", key))
            if status != 0 and (self._runtime.state_dir / key).exists():
                words = runtime.complaint(bundle) or output.strip()
                raise DriverError(
                    f"{self._runtime.name} cannot remove container {key}: {words}", recoverable=True
                )
        shutil.rmtree(bundle, ignore_errors=True)

    async def exec(
        self, task_id: str, argv: list[str], *, tty: bool, io: ExecIO, env: dict[str, str] | None = None
    ) -> ExitResult:
        """Run a command in the task's namespaces, as its user."""
        state = self.known(task_id).state
        key = key_of(task_id)
        bundle = Path(state["bundle"])
        pid_file = bundle / f"exec-{os.urandom(6).hex()}"
        words = ["exec", "--pid-file", str(pid_file), *(["--tty"] if tty else [])]
        for name, value in (env or {}).items():
            words += ["--env", f"{name}={value}"]
        spec = CommandSpec(
            argv=self._runtime.command(bundle, *words, key, *argv),
            env={"PATH": os.environ.get("PATH", DEFAULT_PATH)},
            inherit=False,
            cwd="/",
            join=[],
            tty=tty,
            pid_file=str(pid_file),
        )
        try:
            return await run_command(self.supervisor, task_id, spec, io)
        except StartFailed as error:
            raise DriverError(f"cannot run {self._runtime.program!r}: {error}") from error
        finally:
            pid_file.unlink(missing_ok=True)


def _has_swap(machine: Machine) -> bool:
    if machine.version == 1:
        return os.path.exists(os.path.join(machine.roots.get("memory", "/"), "memory.memsw.limit_in_bytes"))
    try:
        return len(Path("/proc/swaps").read_text().splitlines()) > 1
    except OSError:
        return False


def _kernel() -> tuple[int, int]:
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(digit for digit in minor if digit.isdecimal()) or 0)
