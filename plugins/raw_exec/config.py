"""Configuration of the raw_exec driver: a task's `config` block and the agent's `plugin "raw_exec"` block.

Source: spec/nomad-surface.md A5.
"""

from __future__ import annotations

import os

import msgspec

from plugins.supervisor.users import parse_ranges


class RawExecConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task's `config` block."""

    #: absolute, or looked for in the task directory and the search path.
    command: str
    args: list[str] = []
    #: absolute; the task directory when left out.
    work_dir: str = ""
    #: cgroup to join in place of an own one, absolute or below the cgroup mount.
    cgroup_v2_override: str = ""
    #: controller -> cgroup to join in place of own ones.
    cgroup_v1_override: dict[str, str] = {}
    oom_score_adj: int = 0
    #: names or patterns (`AWS_*`) that the task does not see.
    denied_envvars: list[str] = []

    def problems(self) -> list[tuple[str, str]]:
        """Return what the types cannot say."""
        found = []
        if not self.command.strip():
            found.append(("command", "must not be empty"))
        if self.work_dir and "${" not in self.work_dir and not os.path.isabs(self.work_dir):
            found.append(("work_dir", "must be an absolute path"))
        if not -1000 <= self.oom_score_adj <= 1000:
            found.append(("oom_score_adj", "must be between -1000 and 1000"))
        return found


class RawExecPluginConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The agent's plugin block."""

    enabled: bool = False
    #: such as `0,10-20`.
    denied_host_uids: str = ""
    denied_host_gids: str = ""
    denied_envvars: list[str] = []

    def problems(self) -> list[tuple[str, str]]:
        """Return what the types cannot say."""
        found = []
        for key in ("denied_host_uids", "denied_host_gids"):
            try:
                parse_ranges(getattr(self, key))
            except ValueError as error:
                found.append((key, str(error)))
        return found
