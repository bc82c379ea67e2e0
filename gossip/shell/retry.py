"""Waiting between tries: exponential, with jitter and a limit."""

from __future__ import annotations

import random


def backoff_s(attempt: int, *, first_s: float, max_s: float, rng: random.Random) -> float:
    """Seconds before the attempt after number `attempt` (from 1): 50-100% of first_s x 2^(attempt - 1), capped."""
    base = min(max_s, first_s * 2.0 ** min(attempt - 1, 30))
    return base * (0.5 + 0.5 * rng.random())
