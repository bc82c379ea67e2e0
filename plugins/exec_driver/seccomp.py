"""The system calls that a task may not make. Pure.

Theory: what is refused is what changes the machine rather than the task: mounting, modules, clocks, swap,
tracing the kernel, other namespaces, keys of the kernel. Together with dropped capabilities this is the
second lock on the same doors, and the only one on calls that need no capability (user namespaces, keyrings,
userfaultfd, io_uring). A task that was granted a capability gets the calls that go with it. Unknown names are
skipped by the runtime, so a newer list works on an older libseccomp.

Source: syscalls(2), capabilities(7).
"""

from __future__ import annotations

from typing import Any

#: capability -> calls that it opens.
_BY_CAPABILITY: dict[str, tuple[str, ...]] = {
    "SYS_ADMIN": (
        *("mount", "umount", "umount2", "mount_setattr", "move_mount", "open_tree", "fsopen", "fsmount"),
        *("fsconfig", "fspick", "pivot_root", "setns", "unshare", "swapon", "swapoff", "quotactl"),
        *(
            "quotactl_fd",
            "lookup_dcookie",
            "fanotify_init",
            "setdomainname",
            "sethostname",
            "vm86",
            "vm86old",
        ),
    ),
    "SYS_MODULE": ("init_module", "finit_module", "delete_module", "create_module", "query_module"),
    "SYS_BOOT": ("reboot", "kexec_load", "kexec_file_load"),
    "SYS_TIME": (
        "settimeofday",
        "stime",
        "clock_settime",
        "clock_settime64",
        "clock_adjtime",
        "clock_adjtime64",
    ),
    "SYS_RAWIO": ("iopl", "ioperm"),
    "SYS_PACCT": ("acct",),
    "SYS_PTRACE": ("kcmp", "process_madvise", "pidfd_getfd", "process_vm_readv", "process_vm_writev"),
    "DAC_READ_SEARCH": ("open_by_handle_at", "name_to_handle_at"),
    "SYS_NICE": ("mbind", "migrate_pages", "move_pages", "set_mempolicy", "set_mempolicy_home_node"),
    "SYSLOG": ("syslog",),
    "BPF": ("bpf",),
    "PERFMON": ("perf_event_open",),
}
_ALWAYS = (
    *("add_key", "keyctl", "request_key", "userfaultfd", "nfsservctl", "uselib", "ustat", "sysfs", "_sysctl"),
    *("get_kernel_syms", "io_uring_setup", "io_uring_enter", "io_uring_register"),
)
#: CLONE_NEW{CGROUP,UTS,IPC,USER,PID,NET,NS}
_NAMESPACE_FLAGS = (0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000, 0x00020000)
_EPERM = 1
_ENOSYS = 38
_ARCHITECTURES = {
    "x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "aarch64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
    "ppc64le": ["SCMP_ARCH_PPC64LE"],
    "s390x": ["SCMP_ARCH_S390X", "SCMP_ARCH_S390"],
    "riscv64": ["SCMP_ARCH_RISCV64"],
}


def profile(machine: str, capabilities: list[str]) -> dict[str, Any] | None:
    """Return `linux.seccomp` of an OCI configuration. None: an architecture that we know no names for."""
    architectures = _ARCHITECTURES.get(machine)
    if architectures is None:
        return None
    granted = {name.removeprefix("CAP_") for name in capabilities}
    names = list(_ALWAYS)
    for capability, calls in _BY_CAPABILITY.items():
        if capability not in granted:
            names += calls
    rules: list[dict[str, Any]] = [{"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": _EPERM}]
    if "SYS_ADMIN" not in granted:
        # the flags are the first argument, the second on s390
        index = 1 if machine == "s390x" else 0
        for flag in _NAMESPACE_FLAGS:
            argument = {"index": index, "value": flag, "valueTwo": flag, "op": "SCMP_CMP_MASKED_EQ"}
            rules.append(
                {"names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": _EPERM, "args": [argument]}
            )
        # its flags are in memory, where no filter can look; C libraries fall back to clone
        rules.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS})
    return {"defaultAction": "SCMP_ACT_ALLOW", "architectures": architectures, "syscalls": rules}
