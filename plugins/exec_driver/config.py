"""Configuration of the exec driver: a task's `config` block and the agent's `plugin "exec"` block.

Source: spec/nomad-surface.md A5. `allow_root` and `pids_limit` are our own.
"""

from __future__ import annotations

import os

import msgspec

from plugins.exec_driver.capabilities import ALL, DEFAULT, normal
from plugins.supervisor.users import parse_ranges

_MODES = ("private", "host")


def _bad_capabilities(key: str, names: list[str]) -> list[tuple[str, str]]:
    return [
        (key, f"{name!r} is not a Linux capability (expected a name such as NET_ADMIN, or all)")
        for name in names
        if "${" not in name and normal(name) not in (*ALL, "ALL")
    ]


class ExecConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task's `config` block. Paths are those that the task sees."""

    #: absolute, or looked for in /local, / and the search path.
    command: str
    args: list[str] = []
    #: absolute; / when left out.
    work_dir: str = ""
    #: private or host; empty: as the operator says.
    pid_mode: str = ""
    ipc_mode: str = ""
    cap_add: list[str] = []
    cap_drop: list[str] = []

    def problems(self) -> list[tuple[str, str]]:
        """Return what the types cannot say."""
        found = []
        if not self.command.strip():
            found.append(("command", "must not be empty"))
        if self.work_dir and "${" not in self.work_dir and not os.path.isabs(self.work_dir):
            found.append(("work_dir", "must be an absolute path inside the task"))
        for key in ("pid_mode", "ipc_mode"):
            if getattr(self, key) not in ("", *_MODES) and "${" not in getattr(self, key):
                found.append((key, f"must be private or host, not {getattr(self, key)!r}"))
        return (
            found + _bad_capabilities("cap_add", self.cap_add) + _bad_capabilities("cap_drop", self.cap_drop)
        )


class ExecPluginConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The agent's plugin block."""

    no_pivot_root: bool = False
    default_pid_mode: str = "private"
    default_ipc_mode: str = "private"
    #: what `cap_add` may ask for; the default set is always allowed.
    allow_caps: list[str] = msgspec.field(default_factory=lambda: list(DEFAULT))
    #: such as `0,10-20`.
    denied_host_uids: str = ""
    denied_host_gids: str = ""
    #: whether `user = "root"` is accepted.
    allow_root: bool = False
    #: most processes and threads of one task; 0: no limit.
    pids_limit: int = 8192

    def problems(self) -> list[tuple[str, str]]:
        """Return what the types cannot say."""
        found = _bad_capabilities("allow_caps", self.allow_caps)
        for key in ("denied_host_uids", "denied_host_gids"):
            try:
                parse_ranges(getattr(self, key))
            except ValueError as error:
                found.append((key, str(error)))
        for key in ("default_pid_mode", "default_ipc_mode"):
            if getattr(self, key) not in _MODES:
                found.append((key, f"must be private or host, not {getattr(self, key)!r}"))
        if self.pids_limit < 0:
            found.append(("pids_limit", "must not be negative"))
        return found
