"""Apply: evaluations. Pure.

Source: spec/scheduler.md 1.6.
"""

from __future__ import annotations

from daemon.state.commands import EvalsUpsert
from daemon.state.draft import Draft


def apply_evals(draft: Draft, command: EvalsUpsert) -> None:
    """Create or replace evaluations; ended ones are not reopened."""
    for evaluation in command.evaluations:
        draft.put_eval(evaluation)
