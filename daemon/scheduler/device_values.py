"""Attributes of devices: values with units, and constraints on one device group. Pure.

Theory: a value is a number with a unit, or a text. Numbers of one kind are compared in its base unit, numbers of
different kinds are not comparable, and what cannot be compared makes any condition false. Texts, versions and
patterns go the way of all constraints.

Source: spec/scheduler.md 4.2, 4.3.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from daemon.model.node import NodeDevice
from daemon.scheduler.operators import canonical, holds

_ORDER = ("=", "!=", "<", "<=", ">", ">=")
_VALUE = re.compile(r"([+-]?\d{1,30}(?:\.\d{1,30})?)\s*([A-Za-z/]*)")
_BINARY = {f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGTPE", 1)}
_DECIMAL = {f"{prefix}B": 1000**power for power, prefix in enumerate("kMGTPE", 1)} | {"KB": 1000}
_SIZES = {"B": 1, **_BINARY, **_DECIMAL}
#: unit -> (kind, factor to the base unit).
_UNITS: dict[str, tuple[str, Fraction]] = {
    "": ("", Fraction(1)),
    **{unit: ("size", Fraction(factor)) for unit, factor in _SIZES.items()},
    **{f"{unit}/s": ("rate", Fraction(factor)) for unit, factor in _SIZES.items()},
    **{
        unit: ("frequency", Fraction(factor))
        for unit, factor in (("Hz", 1), ("kHz", 1000), ("KHz", 1000), ("MHz", 1000**2), ("GHz", 1000**3))
    },
    **{
        unit: ("power", Fraction(factor))
        for unit, factor in (("mW", Fraction(1, 1000)), ("W", 1), ("kW", 1000), ("KW", 1000), ("MW", 1000**2))
    },
}


@lru_cache(maxsize=4096)
def quantity(text: str) -> tuple[str, Fraction] | None:
    """(kind, value in its base unit); None for a text."""
    found = _VALUE.fullmatch(text.strip())
    if found is None or found[2] not in _UNITS:
        return None
    kind, factor = _UNITS[found[2]]
    return kind, Fraction(found[1]) * factor


def target(device: NodeDevice, text: str) -> str | None:
    """Value of `${device...}` on a device group, the text itself if it is a literal; None: absent."""
    if not (text.startswith("${") and text.endswith("}")):
        return text
    key = text[2:-1]
    if key == "device.ids":
        return ",".join(instance.id for instance in device.instances)
    named = {"device.vendor": device.vendor, "device.type": device.type, "device.model": device.name}
    if key in named:
        return named[key]
    return device.attributes.get(key.removeprefix("device.attr.")) if key.startswith("device.attr.") else None


def device_holds(device: NodeDevice, left: str, operand: str, right: str) -> bool:
    """True when the condition holds for the device group."""
    operand = canonical(operand)
    first, second = target(device, left), target(device, right)
    if operand not in _ORDER:
        return holds(operand, first, second)
    if first is None or second is None:
        return operand == "!=" and not (first is None and second is None)
    one, other = quantity(first), quantity(second)
    if one is None and other is None:
        return holds(operand, first, second)
    if one is None or other is None or one[0] != other[0]:
        return False
    return _compared(operand, one[1], other[1])


def _compared(operand: str, left: Fraction, right: Fraction) -> bool:
    if operand in ("=", "!="):
        return (left == right) == (operand == "=")
    if operand in ("<", "<="):
        return left < right or (operand == "<=" and left == right)
    return left > right or (operand == ">=" and left == right)
