"""Names of the HTTP API's JSON against those of job files: one table for each kind of object.

Source: spec/nomad-surface.md B2, C2.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ApiBlock:
    """`attributes`: wire -> key. `blocks`: wire -> (block, kind, field that is the label; {}: by key).

    `unused`: wire -> name in `support`; dropped when empty or neutral, refused otherwise.
    """

    attributes: dict[str, str] = field(default_factory=dict)
    blocks: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    unused: dict[str, str] = field(default_factory=dict)

    def all_keys(self) -> list[str]:
        """Every wire name that is known."""
        return [*self.attributes, *self.blocks, *self.unused]


#: set by servers; whatever a file says of them has no meaning.
DROPPED: dict[str, tuple[str, ...]] = {
    "job": (
        "Stop",
        "Stable",
        "Version",
        "Status",
        "StatusDescription",
        "SubmitTime",
        "CreateIndex",
        "ModifyIndex",
        "JobModifyIndex",
        "VersionTag",
        "RevertsTo",
        "NomadTokenID",
    ),
}

#: (kind, field) -> what an unused field holds by default.
NEUTRAL: dict[tuple[str, str], Any] = {
    ("job", "ConsulNamespace"): "default",
    ("update", "Stagger"): 30_000_000_000,
    ("port", "HostNetwork"): "default",
    ("task", "Kind"): "",
    ("group", "Consul"): {"Namespace": "", "Cluster": "default", "Partition": ""},
}

_CONSTRAINT = ("constraint", "constraint", "")
_META = ("meta", "free", "")

BLOCKS: dict[str, ApiBlock] = {
    "job": ApiBlock(
        {
            "ID": "id",
            "Name": "name",
            "Namespace": "namespace",
            "Region": "region",
            "Type": "type",
            "Priority": "priority",
            "AllAtOnce": "all_at_once",
            "Datacenters": "datacenters",
            "NodePool": "node_pool",
            "MaxRunning": "max_running",
        },
        {
            "Constraints": _CONSTRAINT,
            "Affinities": ("affinity", "affinity", ""),
            "Spreads": ("spread", "spread", ""),
            "TaskGroups": ("group", "group", "Name"),
            "Update": ("update", "update", ""),
            "Migrate": ("migrate", "migrate", ""),
            "Reschedule": ("reschedule", "reschedule", ""),
            "Periodic": ("periodic", "periodic", ""),
            "ParameterizedJob": ("parameterized", "parameterized", ""),
            "Meta": _META,
        },
        {
            "Multiregion": "multiregion",
            "UI": "ui",
            "Payload": "payload",
            "Dispatched": "dispatched",
            "ParentID": "parent_id",
            "DispatchIdempotencyToken": "dispatch_idempotency_token",
            "ConsulToken": "consul_token",
            "VaultToken": "vault_token",
            "ConsulNamespace": "consul_namespace",
            "VaultNamespace": "vault_namespace",
            **dict.fromkeys(("Stop", "Stable", "Version", "Status", "StatusDescription", "SubmitTime"), ""),
            **dict.fromkeys(
                ("CreateIndex", "ModifyIndex", "JobModifyIndex", "VersionTag", "RevertsTo", "NomadTokenID"),
                "",
            ),
        },
    ),
    "group": ApiBlock(
        {
            "Count": "count",
            "ShutdownDelay": "shutdown_delay",
            "MaxRunDuration": "max_run_duration",
            "MaxRunning": "max_running",
            "MaxClientDisconnect": "max_client_disconnect",
            "StopAfterClientDisconnect": "stop_after_client_disconnect",
        },
        {
            "Tasks": ("task", "task", "Name"),
            "Constraints": _CONSTRAINT,
            "Affinities": ("affinity", "affinity", ""),
            "Spreads": ("spread", "spread", ""),
            "Networks": ("network", "network", ""),
            "Volumes": ("volume", "volume", "{}"),
            "RestartPolicy": ("restart", "restart", ""),
            "ReschedulePolicy": ("reschedule", "reschedule", ""),
            "Update": ("update", "update", ""),
            "Scaling": ("scaling", "scaling", ""),
            "Migrate": ("migrate", "migrate", ""),
            "MigrateStrategy": ("migrate", "migrate", ""),
            "Disconnect": ("disconnect", "disconnect", ""),
            "EphemeralDisk": ("ephemeral_disk", "ephemeral_disk", ""),
            "Meta": _META,
        },
        {
            "Name": "",
            "Services": "service",
            "Consul": "consul",
            "PreventRescheduleOnLost": "prevent_reschedule_on_lost",
        },
    ),
    "task": ApiBlock(
        {
            "Driver": "driver",
            "User": "user",
            "Leader": "leader",
            "KillTimeout": "kill_timeout",
            "KillSignal": "kill_signal",
            "ShutdownDelay": "shutdown_delay",
            "PortLabels": "port_labels",
        },
        {
            "Config": ("config", "free", ""),
            "Env": ("env", "free", ""),
            "Meta": _META,
            "Resources": ("resources", "resources", ""),
            "Constraints": _CONSTRAINT,
            "Affinities": ("affinity", "affinity", ""),
            "VolumeMounts": ("volume_mount", "volume_mount", ""),
            "RestartPolicy": ("restart", "restart", ""),
            "LogConfig": ("logs", "logs", ""),
            "Lifecycle": ("lifecycle", "lifecycle", ""),
            "DispatchPayload": ("dispatch_payload", "dispatch_payload", ""),
        },
        {
            "Name": "",
            "Services": "service",
            "Templates": "template",
            "Artifacts": "artifact",
            "Vault": "vault",
            "Consul": "consul",
            "Identity": "identity",
            "Identities": "identity",
            "Secrets": "secret",
            "Actions": "action",
            "CSIPluginConfig": "csi_plugin",
            "Schedule": "schedule",
            "ScalingPolicies": "scaling",
            "Kind": "kind",
            "UsesConnect": "kind",
        },
    ),
    "periodic": ApiBlock(
        {
            "Enabled": "enabled",
            "Spec": "cron",
            "Specs": "crons",
            "ProhibitOverlap": "prohibit_overlap",
            "TimeZone": "time_zone",
            "Missed": "missed",
        },
        {},
        {"SpecType": ""},
    ),
    "parameterized": ApiBlock(
        {"Payload": "payload", "MetaRequired": "meta_required", "MetaOptional": "meta_optional"}
    ),
    "constraint": ApiBlock({"LTarget": "attribute", "RTarget": "value", "Operand": "operator"}),
    "affinity": ApiBlock(
        {"LTarget": "attribute", "RTarget": "value", "Operand": "operator", "Weight": "weight"}
    ),
    "spread": ApiBlock(
        {"Attribute": "attribute", "Weight": "weight"}, {"SpreadTarget": ("target", "target", "Value")}
    ),
    "target": ApiBlock({"Percent": "percent"}, {}, {"Value": ""}),
    "update": ApiBlock(
        {
            "MaxParallel": "max_parallel",
            "HealthCheck": "health_check",
            "MinHealthyTime": "min_healthy_time",
            "HealthyDeadline": "healthy_deadline",
        },
        {},
        {
            "Stagger": "stagger",
            "ProgressDeadline": "progress_deadline",
            "AutoRevert": "auto_revert",
            "AutoPromote": "auto_promote",
            "Canary": "canary",
        },
    ),
    "migrate": ApiBlock(
        {
            "MaxParallel": "max_parallel",
            "HealthCheck": "health_check",
            "MinHealthyTime": "min_healthy_time",
            "HealthyDeadline": "healthy_deadline",
        }
    ),
    "disconnect": ApiBlock(
        {
            "LostAfter": "lost_after",
            "StopOnClientAfter": "stop_on_client_after",
            "Replace": "replace",
            "Reconcile": "reconcile",
        }
    ),
    "scaling": ApiBlock(
        {"Min": "min", "Max": "max", "Enabled": "enabled"},
        {"Policy": ("policy", "free", "")},
        {"ID": "", "Type": "", "Target": "", "CreateIndex": "", "ModifyIndex": ""},
    ),
    "reschedule": ApiBlock(
        {
            "Attempts": "attempts",
            "Interval": "interval",
            "Delay": "delay",
            "DelayFunction": "delay_function",
            "MaxDelay": "max_delay",
            "Unlimited": "unlimited",
        }
    ),
    "restart": ApiBlock(
        {"Attempts": "attempts", "Interval": "interval", "Delay": "delay", "Mode": "mode"},
        {},
        {"RenderTemplates": "render_templates"},
    ),
    "ephemeral_disk": ApiBlock({"SizeMB": "size", "Sticky": "sticky"}, {}, {"Migrate": "migrate"}),
    "network": ApiBlock(
        {"Mode": "mode"},
        {"ReservedPorts": ("port", "port", "Label"), "DynamicPorts": ("port", "port", "Label")},
        {
            "MBits": "mbits",
            "DNS": "dns",
            "Hostname": "hostname",
            "CNI": "cni",
            "Device": "device",
            "CIDR": "cidr",
            "IP": "ip",
        },
    ),
    "port": ApiBlock(
        {"Value": "static", "To": "to", "IgnoreCollision": "ignore_collision"},
        {},
        {"Label": "", "HostNetwork": "host_network"},
    ),
    "volume": ApiBlock(
        {"Type": "type", "Source": "source", "ReadOnly": "read_only"},
        {},
        {
            "Name": "",
            "Sticky": "sticky",
            "PerAlloc": "per_alloc",
            "AccessMode": "access_mode",
            "AttachmentMode": "attachment_mode",
            "MountOptions": "mount_options",
        },
    ),
    "volume_mount": ApiBlock(
        {
            "Volume": "volume",
            "Destination": "destination",
            "ReadOnly": "read_only",
            "PropagationMode": "propagation_mode",
        },
        {},
        {"SELinuxLabel": "selinux_label"},
    ),
    "resources": ApiBlock(
        {"CPU": "cpu", "Cores": "cores", "MemoryMB": "memory", "MemoryMaxMB": "memory_max"},
        {"Networks": ("network", "network", ""), "Devices": ("device", "device", "Name")},
        {
            "SecretsMB": "secrets",
            "NUMA": "numa",
            "IOPS": "iops",
            "DiskMB": "disk",
        },
    ),
    "device": ApiBlock(
        {"Count": "count"},
        {
            "Constraints": ("constraint", "constraint", ""),
            "Affinities": ("affinity", "affinity", ""),
        },
        {"Name": ""},
    ),
    "logs": ApiBlock(
        {
            "MaxFiles": "max_files",
            "MaxFileSizeMB": "max_file_size",
            "Disabled": "disabled",
            "RateLimitBytes": "rate_limit",
        },
        {},
        {"Enabled": "enabled"},
    ),
    "lifecycle": ApiBlock({"Hook": "hook", "Sidecar": "sidecar"}),
    "dispatch_payload": ApiBlock({"File": "file"}),
}
