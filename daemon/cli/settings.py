"""The global flags and the environment, as one value. Pure but for the environment it is given.

Theory: a flag wins over ENCAMP_*, which wins over NOMAD_*. NOMAD_ADDR is not read: it names an HTTP port.
Source: spec/nomad-surface.md, deliberate differences; E, "Global flags".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class Settings:
    """What every command needs to know. Filled by the options as they are parsed."""

    #: "" lets `address.choose` look.
    address: str = ""
    region: str = ""
    namespace: str = ""
    #: None: by terminal and environment.
    color: bool | None = None

    def merge_environment(self, environment: Mapping[str, str]) -> None:
        """Fill what no flag has set."""
        self.address = self.address or environment.get("ENCAMP_ADDR", "")
        self.region = self.region or _either(environment, "REGION")
        self.namespace = self.namespace or _either(environment, "NAMESPACE")


def _either(environment: Mapping[str, str], name: str) -> str:
    return environment.get(f"ENCAMP_{name}") or environment.get(f"NOMAD_{name}", "")


def wants_color(flag: bool | None, environment: Mapping[str, str], is_terminal: bool) -> bool:
    """Whether to colour: the flag, else NO_COLOR and its kin, else whether a person looks."""
    if flag is not None:
        return flag
    if any(environment.get(name) for name in ("NO_COLOR", "ENCAMP_CLI_NO_COLOR", "NOMAD_CLI_NO_COLOR")):
        return False
    if any(environment.get(name) for name in ("ENCAMP_CLI_FORCE_COLOR", "NOMAD_CLI_FORCE_COLOR")):
        return True
    return is_terminal and environment.get("TERM") != "dumb"
