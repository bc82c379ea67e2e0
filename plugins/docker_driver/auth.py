"""Finds the credentials for an image's registry: the task's block, a file of `docker login`, or a helper.

Theory: first one that knows the registry wins. Secrets are handed to the engine in a header and are
neither logged nor stored; `AuthError` names where was looked, never what was found. Blocking: runs in a
thread.
"""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any, Final

from plugins.docker_driver.config import AuthBlock
from plugins.docker_driver.settings import AuthSettings
from plugins.docker_driver.units import DOCKER_HUB, registry_of
from plugins.driver import DriverError

HELPER_TIMEOUT_S: Final = 20.0


class AuthError(DriverError):
    """Credentials were asked for and could not be read."""


def registry_header(image: str, block: AuthBlock | None, settings: AuthSettings) -> str:
    """The engine's X-Registry-Auth header; empty: pull without a name. Raises AuthError."""
    registry = registry_of(image)
    found: dict[str, str] = {}
    if block is not None and (block.username or block.password):
        found = {
            "username": block.username,
            "password": block.password,
            "email": block.email,
            "serveraddress": block.server_address or registry,
        }
    if not found and settings.config:
        found = _from_file(Path(settings.config), registry)
    if not found and settings.helper:
        found = _from_helper(settings.helper, registry)
    if not found:
        return ""
    return base64.urlsafe_b64encode(json.dumps(found).encode()).decode()


def _plain(host: str) -> str:
    """A registry's address without scheme and path, as keys of the file are compared."""
    return host.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _from_file(path: Path, registry: str) -> dict[str, str]:
    """Credentials in a Docker client's configuration file; empty when it does not know the registry."""
    try:
        content: Any = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise AuthError(f"cannot read the registry credentials file {path}: {error}") from error
    if not isinstance(content, dict):
        raise AuthError(f"the registry credentials file {path} is not a JSON object")
    wanted = _plain(registry)
    helpers = content.get("credHelpers") or {}
    for host, helper in helpers.items():
        if _plain(host) == wanted:
            return _from_helper(str(helper), registry)
    for host, entry in (content.get("auths") or {}).items():
        if _plain(host) != wanted or not isinstance(entry, dict):
            continue
        found = _entry(path, host, entry)
        if found:
            return {**found, "serveraddress": registry}
    if content.get("credsStore"):
        return _from_helper(str(content["credsStore"]), registry)
    return {}


def _entry(path: Path, host: str, entry: dict[str, Any]) -> dict[str, str]:
    """One entry of `auths`."""
    if entry.get("identitytoken"):
        return {"identitytoken": str(entry["identitytoken"])}
    if entry.get("auth"):
        try:
            name, colon, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
        except ValueError as error:
            raise AuthError(f"the entry of {host} in {path} is not base64") from error
        if not colon:
            raise AuthError(f"the entry of {host} in {path} is not NAME:PASSWORD in base64")
        return {"username": name, "password": password.rstrip("\x00")}
    if entry.get("username"):
        return {"username": str(entry["username"]), "password": str(entry.get("password", ""))}
    return {}


def _from_helper(helper: str, registry: str) -> dict[str, str]:
    """Ask `docker-credential-HELPER get`; empty when it does not know the registry."""
    program = f"docker-credential-{helper}"
    question = registry if registry == DOCKER_HUB else _plain(registry)
    try:
        done = subprocess.run(
            [program, "get"],
            input=question.encode(),
            capture_output=True,
            timeout=HELPER_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AuthError(f"the credential helper {program} could not be run for {question}") from error
    if done.returncode != 0:
        words = done.stdout.decode(errors="replace").strip() or done.stderr.decode(errors="replace").strip()
        if "not found" in words:
            return {}
        raise AuthError(f"the credential helper {program} failed for {question}: {words[:200]}")
    try:
        answer = json.loads(done.stdout)
        name, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError) as error:
        raise AuthError(f"the credential helper {program} answered no credentials for {question}") from error
    if name == "<token>":
        return {"identitytoken": secret, "serveraddress": registry}
    return {"username": name, "password": secret, "serveraddress": registry}
