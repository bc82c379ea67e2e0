"""How a belief about a member changes: the transition table of the failure detector, and its picture. Pure.

Theory: a belief is (incarnation, state). A fact, heard from anybody, is of the same shape. Facts form a lattice: higher
incarnation wins, and at equal incarnation left > dead > suspect > alive. So two members that heard the same facts in
any order believe the same, and a member is undone only by its own, higher incarnation. What is missing in TRANSITIONS
changes nothing.
Source: the SWIM paper, section 4.2; memberlist adds `left`. That news about a buried member at a higher incarnation
unburies it, even if it is a suspicion, is ours: the order of arrival must not matter.
"""

from __future__ import annotations

import enum

from gossip.model import State


class Age(enum.StrEnum):
    """A fact's incarnation against the one believed."""

    OLDER = "older"
    SAME = "same"
    NEWER = "newer"


ALIVE, SUSPECT, DEAD, LEFT = State.ALIVE, State.SUSPECT, State.DEAD, State.LEFT

TRANSITIONS: dict[tuple[State, State, Age], State] = {
    # believed, heard, at which incarnation: believed afterwards
    (ALIVE, ALIVE, Age.NEWER): ALIVE,
    (ALIVE, SUSPECT, Age.SAME): SUSPECT,
    (ALIVE, SUSPECT, Age.NEWER): SUSPECT,
    (ALIVE, DEAD, Age.SAME): DEAD,
    (ALIVE, DEAD, Age.NEWER): DEAD,
    (ALIVE, LEFT, Age.SAME): LEFT,
    (ALIVE, LEFT, Age.NEWER): LEFT,
    (SUSPECT, ALIVE, Age.NEWER): ALIVE,
    (SUSPECT, SUSPECT, Age.NEWER): SUSPECT,
    (SUSPECT, DEAD, Age.SAME): DEAD,
    (SUSPECT, DEAD, Age.NEWER): DEAD,
    (SUSPECT, LEFT, Age.SAME): LEFT,
    (SUSPECT, LEFT, Age.NEWER): LEFT,
    (DEAD, ALIVE, Age.NEWER): ALIVE,
    (DEAD, SUSPECT, Age.NEWER): SUSPECT,
    (DEAD, DEAD, Age.NEWER): DEAD,
    (DEAD, LEFT, Age.SAME): LEFT,
    (DEAD, LEFT, Age.NEWER): LEFT,
    (LEFT, ALIVE, Age.NEWER): ALIVE,
    (LEFT, SUSPECT, Age.NEWER): SUSPECT,
    (LEFT, DEAD, Age.NEWER): DEAD,
    (LEFT, LEFT, Age.NEWER): LEFT,
}


def age(known: int, heard: int) -> Age:
    """How a heard incarnation relates to the known one."""
    if heard > known:
        return Age.NEWER
    return Age.SAME if heard == known else Age.OLDER


def transition(state: State, incarnation: int, fact: State, fact_incarnation: int) -> State | None:
    """The state after hearing a fact, or None when it changes nothing."""
    return TRANSITIONS.get((state, fact, age(incarnation, fact_incarnation)))


def picture() -> str:
    """The table as a Mermaid state diagram, as the README shows it."""
    lines = ["stateDiagram-v2", "    [*] --> alive: alive, first heard"]
    grouped: dict[tuple[State, State], dict[State, list[str]]] = {}
    for (before, fact, when), after in TRANSITIONS.items():
        if before is not after:
            grouped.setdefault((before, after), {}).setdefault(fact, []).append(when.value)
    for (before, after), facts in grouped.items():
        told = "; ".join(f"{fact.name.lower()} ({' or '.join(ages)})" for fact, ages in facts.items())
        lines.append(f"    {before.name.lower()} --> {after.name.lower()}: {told}")
    lines += ["    dead --> [*]: forgotten after reconnect_timeout_s"]
    lines += ["    left --> [*]: forgotten after tombstone_timeout_s"]
    return "\n".join(lines)
