"""Pulls one image: follows the engine's progress stream, says how far it is, gives up when nothing moves.

Theory: the total time and the time without any progress are bounded separately; a slow link may take long
as long as it moves. Closing the stream makes the engine give up too. `Progress` is pure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from plugins.docker_driver.engine import Engine
from plugins.docker_driver.stream import EngineError
from plugins.docker_driver.units import full_name, split_image
from plugins.driver import DriverError

#: seconds between two progress events: people read them one by one.
REPORT_EVERY_S: Final = 10.0
_MISSING: Final = ("not found", "does not exist", "no such image", "manifest unknown", "name unknown")
_DENIED: Final = ("unauthorized", "no basic auth", "authentication required", "denied", "incorrect username")
MB: Final = 1_000_000


class Progress:
    """What is known of a running pull."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[str, int, int]] = {}
        self.error = ""

    def feed(self, line: dict[str, Any]) -> bool:
        """Take one line of the stream; True when something has moved."""
        if line.get("error"):
            detail = line.get("errorDetail")
            self.error = str((detail or {}).get("message") or line["error"])
            return True
        layer, status = line.get("id"), str(line.get("status", ""))
        if not layer or status.startswith("Pulling from"):
            return True
        sizes = line.get("progressDetail") or {}
        now = (status, int(sizes.get("current") or 0), int(sizes.get("total") or 0))
        moved = self._layers.get(layer) != now
        self._layers[layer] = now
        return moved

    def summary(self) -> str:
        """How far it is, in one line."""
        done = sum(status in ("Pull complete", "Already exists") for status, _, _ in self._layers.values())
        loading = [(at, of) for status, at, of in self._layers.values() if status == "Downloading" and of]
        text = f"{done} of {len(self._layers)} layers"
        if loading:
            at, of = (sum(part) / MB for part in zip(*loading, strict=True))
            text += f", downloading {at:.1f} of {of:.1f} MB"
        return text


async def pull(
    engine: Engine,
    image: str,
    *,
    auth: str,
    timeout_s: float,
    activity_timeout_s: float,
    report: Callable[[str], None],
) -> None:
    """Pull an image. Raises DriverError in words that say what to do."""
    repository, tag = split_image(image)
    progress = Progress()
    loop = asyncio.get_running_loop()
    started = reported = loop.time()
    headers = {"X-Registry-Auth": auth} if auth else {}
    try:
        async with asyncio.timeout(timeout_s) as whole, asyncio.timeout(activity_timeout_s) as idle:
            async with engine.stream(
                "POST",
                "/images/create",
                query={"fromImage": repository, "tag": tag},
                headers=headers,
                answer_timeout_s=None,
            ) as stream:
                async for line in stream.json_lines():
                    now = loop.time()
                    if progress.feed(line):
                        idle.reschedule(now + activity_timeout_s)
                    if now - reported >= REPORT_EVERY_S:
                        reported = now
                        report(f"Pulling image {full_name(image)}: {progress.summary()}")
    except TimeoutError as error:
        if whole.expired():
            why = f"took longer than {timeout_s:g} s (image_pull_timeout); {progress.summary()}"
        else:
            why = f"made no progress for {activity_timeout_s:g} s (pull_activity_timeout)"
        raise DriverError(f"pull of image {full_name(image)} {why}", recoverable=True) from error
    except EngineError as error:
        raise pull_error(image, error.message, has_auth=bool(auth)) from error
    if progress.error:
        raise pull_error(image, progress.error, has_auth=bool(auth))
    report(f"Pulled image {full_name(image)} in {loop.time() - started:.1f} s")


def pull_error(image: str, text: str, *, has_auth: bool) -> DriverError:
    """The engine's refusal as an error that says what to do; only passing reasons are recoverable."""
    low = text.lower()
    name = full_name(image)
    if any(word in low for word in _DENIED):
        advice = "check the auth block" if has_auth else "the registry may want an auth block"
        return DriverError(f"pull of image {name} was refused ({advice}): {text}")
    if any(word in low for word in _MISSING):
        return DriverError(f"image {name} is not in its registry: {text}")
    return DriverError(f"pull of image {name} failed: {text}", recoverable=True)
