"""Lists of numbers written `22,80-90`. Pure."""

from __future__ import annotations

_COUNT_MAX = 65536


def parse_ranges(text: str, low: int, high: int) -> tuple[int, ...]:
    """The numbers, in order and once each.

    Raises: ValueError with what is wrong.
    """
    found: set[int] = set()
    for part in text.split(","):
        piece = part.strip()
        if not piece:
            if text.strip():
                raise ValueError(f'{text!r} has an empty part; write for example "22,80-90"')
            continue
        first, dash, last = (each.strip() for each in piece.partition("-"))
        last = last if dash else first
        if not (first.isascii() and first.isdigit() and last.isascii() and last.isdigit()):
            raise ValueError(f"{piece!r} is neither a number nor a range such as 80-90")
        if len(first) > 9 or len(last) > 9 or int(first) < low or int(last) > high:
            raise ValueError(f"{piece!r} does not lie from {low} to {high}")
        if int(first) > int(last):
            raise ValueError(f"the range {piece!r} goes backwards")
        found.update(range(int(first), int(last) + 1))
        if len(found) > _COUNT_MAX:
            raise ValueError("too many numbers")
    return tuple(sorted(found))
