"""Linux capabilities: names, the set a task gets by default, and what a job may change. Pure.

Theory: a task that is not root keeps no capability over exec unless it is ambient, so exactly what `cap_add`
names is made ambient; the default set only matters to tasks that run as root. Source: capabilities(7); the
default set is the one that Nomad's documentation names for its exec driver.
"""

from __future__ import annotations

ALL = (
    *("AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE", "CHOWN"),
    *("DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL", "LEASE"),
    *("LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE"),
    *("NET_BROADCAST", "NET_RAW", "PERFMON", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_ADMIN"),
    *("SYS_BOOT", "SYS_CHROOT", "SYS_MODULE", "SYS_NICE", "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO"),
    *("SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "SYSLOG", "WAKE_ALARM"),
)
DEFAULT = (
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
    *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
)


def normal(name: str) -> str:
    """Return `net_admin`, `CAP_NET_ADMIN` and the like in one form."""
    return name.strip().upper().removeprefix("CAP_")


def choose(
    add: list[str], drop: list[str], allowed: list[str]
) -> tuple[tuple[list[str], list[str]], list[str]]:
    """Return ((bounding set, ambient set), what was asked for but is not allowed), sorted."""
    added = {normal(name) for name in add}
    may = {normal(name) for name in allowed} | set(DEFAULT)
    if "ALL" in may:
        may |= set(ALL)
    if "ALL" in added:
        added = set(may) - {"ALL"}
    refused = sorted(added - may)
    dropped = {normal(name) for name in drop}
    base = set() if "ALL" in dropped else set(DEFAULT) - dropped
    kept = (added & may) - dropped
    return (_names(base | kept), _names(kept)), refused


def _names(names: set[str]) -> list[str]:
    return sorted(f"CAP_{name}" for name in names)
