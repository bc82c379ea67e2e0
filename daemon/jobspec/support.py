"""What parses and is not acted on yet: one table, which messages, docs and tests read.

Theory: nothing that a user writes is ignored silently. A row here makes a known block or key an error at
its position; `neutral` values ask for exactly what happens anyway, and pass. `IGNORED` holds what Nomad
ignores too: a warning. When a later version acts on something, its row goes.

Source: spec/nomad-surface.md C2; docs/compatibility.md shows these tables to users.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MESSAGE = "{what} is not supported by this version of encamp; see docs/compatibility.md"

#: (block, key or inner block) -> values that pass.
UNSUPPORTED: dict[tuple[str, str], tuple[Any, ...]] = {
    ("job", "multiregion"): (),
    ("job", "vault"): (),
    ("job", "secret"): (),
    ("job", "ui"): (),
    ("job", "consul_token"): ("",),
    ("job", "vault_token"): ("",),
    ("job", "consul_namespace"): ("",),
    ("job", "vault_namespace"): ("",),
    # only in the HTTP API's JSON
    ("job", "payload"): (),
    ("job", "dispatched"): (),
    ("job", "parent_id"): (),
    ("job", "dispatch_idempotency_token"): (),
    ("group", "service"): (),
    ("group", "consul"): (),
    ("group", "vault"): (),
    ("group", "secret"): (),
    ("group", "prevent_reschedule_on_lost"): (False,),
    ("task", "service"): (),
    ("task", "template"): (),
    ("task", "artifact"): (),
    ("task", "vault"): (),
    ("task", "consul"): (),
    ("task", "identity"): (),
    ("task", "secret"): (),
    ("task", "action"): (),
    ("task", "csi_plugin"): (),
    ("task", "schedule"): (),
    ("task", "scaling"): (),
    ("task", "kind"): ("",),
    ("restart", "render_templates"): (False,),
    ("ephemeral_disk", "migrate"): (False,),
    ("network", "dns"): (),
    ("network", "hostname"): ("",),
    ("network", "cni"): (),
    ("network", "device"): ("",),
    ("network", "cidr"): ("",),
    ("network", "ip"): ("",),
    ("volume", "mount_options"): (),
    ("volume_mount", "selinux_label"): ("",),
    ("resources", "secrets"): (0,),
    ("resources", "numa"): (),
    ("logs", "enabled"): (True,),
}

#: (block, key) -> values that parse and are not acted on; a trailing * stands for anything.
UNSUPPORTED_VALUES: dict[tuple[str, str], tuple[str, ...]] = {
    ("network", "mode"): ("bridge", "cni/*"),
    ("volume", "type"): ("csi",),
}

#: (block, key) -> why it has no effect, as with Nomad: a warning.
IGNORED: dict[tuple[str, str], str] = {
    ("network", "mbits"): "bandwidth is not scheduled",
    ("resources", "iops"): "disk operations are not scheduled",
    ("update", "stagger"): "max_parallel and min_healthy_time pace an update",
}

#: (block, key) -> what to write instead. Nomad refuses these as well.
REFUSED: dict[tuple[str, str], str] = {
    ("resources", "disk"): "disk space belongs to the group: ephemeral_disk { size = ... }",
    ("constraint", "set_contains_any"): 'write operator = "set_contains_any" and value = "a,b"',
    ("constraint", "set_contains_all"): 'write operator = "set_contains_all" and value = "a,b"',
    ("constraint", "is_set"): 'write operator = "is_set"',
    ("constraint", "is_not_set"): 'write operator = "is_not_set"',
}


@dataclass(frozen=True, slots=True)
class Support:
    """The four tables of one kind of file, as its reader uses them."""

    unsupported: dict[tuple[str, str], tuple[Any, ...]]
    values: dict[tuple[str, str], tuple[str, ...]]
    ignored: dict[tuple[str, str], str]
    refused: dict[tuple[str, str], str]
    message: str = MESSAGE

    def names(self, block: str) -> list[str]:
        """Names of a block that are known but not acted on."""
        tables = (self.unsupported, self.ignored, self.refused)
        return [key for table in tables for (owner, key) in table if owner == block]

    def is_unsupported_value(self, block: str, key: str, value: str) -> bool:
        """Whether a known value of a supported key is not acted on."""
        for known in self.values.get((block, key), ()):
            if value == known or (known.endswith("*") and value.startswith(known[:-1])):
                return True
        return False


JOB = Support(UNSUPPORTED, UNSUPPORTED_VALUES, IGNORED, REFUSED)
