"""Completion of ids by asking the agent; silent and quick when there is none."""

from __future__ import annotations

from typing import Any

import click

from daemon.cli import connect
from daemon.cli.framework import settings_of
from daemon.model.errors import EncampError
from daemon.rpc.methods import ALLOC_LIST, DEPLOYMENT_LIST, EVAL_LIST, JOB_LIST, NODE_LIST, Method

_MOST = 200


def jobs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Ids of jobs."""
    return _ids(ctx, JOB_LIST, "jobs", incomplete)


def allocs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Ids of allocations."""
    return _ids(ctx, ALLOC_LIST, "allocations", incomplete)


def evals(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Ids of evaluations."""
    return _ids(ctx, EVAL_LIST, "evaluations", incomplete)


def deployments(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Ids of deployments."""
    return _ids(ctx, DEPLOYMENT_LIST, "deployments", incomplete)


def nodes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Ids of nodes."""
    return _ids(ctx, NODE_LIST, "nodes", incomplete)


def _ids(ctx: click.Context, method: Method[Any, Any], field: str, incomplete: str) -> list[str]:
    try:
        with connect.session(settings_of(ctx)) as session:
            answer = session.call(method, prefix=incomplete, per_page=_MOST, timeout_s=1.0)
            return [each.id for each in getattr(answer, field)]
    except (EncampError, OSError):
        return []
