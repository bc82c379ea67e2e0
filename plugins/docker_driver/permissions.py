"""Decides what a container may do beyond the ordinary, by the operator's settings.

Theory: every refusal names the key, the value and the setting that would allow it. Capabilities are given
to the engine as a whole set (drop all, add these), so that the engine's own defaults change nothing.
Pure.
"""

from __future__ import annotations

from plugins.docker_driver.config import DockerConfig
from plugins.docker_driver.settings import DEFAULT_CAPS, DockerSettings
from plugins.driver import DriverError


def refuse(what: str, setting: str) -> DriverError:
    """The error for something that the operator has not allowed."""
    return DriverError(
        f'{what}; the operator can allow it with {setting} in the agent\'s plugin "docker" block'
    )


def _plain(names: list[str] | tuple[str, ...]) -> set[str]:
    return {name.lower().removeprefix("cap_") for name in names}


def capabilities(config: DockerConfig, settings: DockerSettings) -> tuple[list[str], list[str]]:
    """Capabilities to add and to drop. Raises DriverError when one is asked for that is not allowed."""
    allowed, add, drop = _plain(settings.allow_caps), _plain(config.cap_add), _plain(config.cap_drop)
    everything = "all" in allowed
    missing = set() if everything else add - allowed
    if missing:
        names = ", ".join(sorted(missing))
        raise refuse(f"cap_add asks for capabilities that are not allowed: {names}", "allow_caps")
    if "all" in add:
        return ["ALL"], sorted(name.upper() for name in drop)
    base = set(DEFAULT_CAPS) if everything else set(DEFAULT_CAPS) & allowed
    kept = set() if "all" in drop else base - drop
    return sorted(name.upper() for name in kept | add), ["ALL"]


def check_privileges(config: DockerConfig, settings: DockerSettings) -> None:
    """Refuse what reaches out of the container and is not allowed. Raises DriverError."""
    if config.privileged and not settings.allow_privileged:
        raise refuse("privileged = true is not allowed on this node", "allow_privileged = true")
    if config.runtime and config.runtime not in settings.allow_runtimes:
        raise refuse(f"runtime {config.runtime!r} is not allowed on this node", "allow_runtimes")
    if config.devices and not (settings.allow_privileged or settings.volumes.enabled):
        raise refuse("devices of the host are not allowed on this node", "volumes { enabled = true }")
    if config.volume_driver and not settings.volumes.enabled:
        raise refuse("volume_driver is not allowed on this node", "volumes { enabled = true }")
    if config.security_opt and not settings.allow_privileged:
        for option in config.security_opt:
            if option.replace(":", "=").endswith(("=unconfined", "=disable")):
                raise refuse(
                    f"security_opt {option!r} is not allowed on this node", "allow_privileged = true"
                )
    modes = settings.allowed_modes
    for key, value, allowed in (
        ("pid_mode", config.pid_mode, modes.pid),
        ("ipc_mode", config.ipc_mode, modes.ipc),
        ("userns_mode", config.userns_mode, modes.userns),
        ("uts_mode", config.uts_mode, modes.uts),
        ("cgroupns", config.cgroupns, ("private",)),
    ):
        if value and value not in allowed and not settings.allow_privileged:
            setting = f'allowed_modes {{ {key.removesuffix("_mode")} = ["{value}"] }}'
            raise refuse(f"{key} = {value!r} is not allowed on this node", setting)
