"""Errors, named by what the caller may do next. Pure."""

from __future__ import annotations


class GossipError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(GossipError):
    """A configuration that cannot work; the text names the fields. Fix it and start again."""


class DecodeError(GossipError):
    """Bytes from the network that are not what they should be. The only error that a decoder raises.

    `reason` is one of a few fixed words and is the label under which it is counted.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class TooLarge(GossipError):
    """Tags, an event, a query or a reply above its bound. Make it smaller."""


class JoinFailed(GossipError):
    """No address could be joined; `failures` maps each to its reason. Retry, or use other addresses."""

    def __init__(self, failures: dict[str, str]) -> None:
        told = (
            "; ".join(f"{address}: {reason}" for address, reason in failures.items())
            or "no address was given"
        )
        super().__init__(f"could not join: {told}")
        self.failures = failures


class NotRunning(GossipError):
    """The member has not been started, has left or was stopped. Make a new Gossip."""


class KeyringError(GossipError):
    """A key that is malformed, unknown, or that must stay. The text says which."""


class RotationIncomplete(KeyringError):
    """Not every member confirmed a step of a key rotation; `missing` maps names to reasons.

    Nothing further was done: bring the members back (or force them to leave) and run the same step again.
    """

    def __init__(self, step: str, missing: dict[str, str]) -> None:
        told = "; ".join(f"{name}: {reason}" for name, reason in missing.items())
        super().__init__(f"key rotation stopped at {step!r}; not confirmed by {told}")
        self.step = step
        self.missing = missing
