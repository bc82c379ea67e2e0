"""Dispatch: whether a request fits its parameterized job, and the child that it makes. Pure.

Source: spec/scheduler.md 8; spec/nomad-surface.md C5.
"""

from __future__ import annotations

import re

import msgspec

from daemon.model.base import NS_PER_S
from daemon.model.errors import InvalidInput
from daemon.model.job import Job
from daemon.model.payload import PAYLOAD_BYTES_MAX, pack_payload
from daemon.rpc import messages as m
from daemon.server.periodic import fresh

PRIORITY_MAX = 100
_PREFIX = re.compile(r"[A-Za-z0-9._-]{1,64}")
TOKEN_CHARS_MAX = 256


def check_dispatch(parent: Job, request: m.JobDispatchRequest) -> None:
    """Raises InvalidInput with everything that is wrong with the request."""
    config = parent.parameterized_job
    if config is None:
        raise InvalidInput(f"job {parent.id!r} is not parameterized: it cannot be dispatched")
    problems: list[str] = []
    if parent.stop:
        problems.append("the job is stopped; run it again first")
    if config.payload == "forbidden" and request.payload:
        problems.append("the job takes no payload")
    if config.payload == "required" and not request.payload:
        problems.append("the job needs a payload")
    if len(request.payload) > PAYLOAD_BYTES_MAX:
        problems.append(f"the payload has {len(request.payload)} bytes, more than {PAYLOAD_BYTES_MAX}")
    missing = [key for key in config.meta_required if key not in request.meta]
    if missing:
        problems.append(f"missing meta: {', '.join(missing)}")
    known = {*config.meta_required, *config.meta_optional}
    unknown = sorted(key for key in request.meta if key not in known)
    if unknown:
        listed = ", ".join(sorted(known)) or "none"
        problems.append(f"meta that the job does not take: {', '.join(unknown)} (it takes: {listed})")
    if request.priority and not 1 <= request.priority <= PRIORITY_MAX:
        problems.append(f"priority lies from 1 to {PRIORITY_MAX}, not {request.priority}")
    if request.id_prefix_template and not _PREFIX.fullmatch(request.id_prefix_template):
        problems.append("the id prefix holds letters, digits, dots, - and _ only, 64 at most")
    if len(request.idempotency_token) > TOKEN_CHARS_MAX:
        problems.append(f"the idempotency token is longer than {TOKEN_CHARS_MAX} characters")
    if problems:
        raise InvalidInput(
            f"job {parent.id!r} cannot be dispatched so: {'; '.join(problems)}", problems=problems
        )


def dispatched_child(parent: Job, request: m.JobDispatchRequest, now_ns: int, suffix: str) -> Job:
    """The child: the parent's spec with payload, meta and priority of the request.

    Shape: its id is PARENT/dispatch-[prefix-]UNIX-8hex.
    """
    prefix = f"{request.id_prefix_template}-" if request.id_prefix_template else ""
    id_ = f"{parent.id}/dispatch-{prefix}{now_ns // NS_PER_S}-{suffix}"
    child = fresh(parent, id_, now_ns)
    return msgspec.structs.replace(
        child,
        parameterized_job=None,
        dispatched=True,
        payload=pack_payload(request.payload),
        meta={**parent.meta, **request.meta},
        priority=request.priority or parent.priority,
        dispatch_idempotency_token=request.idempotency_token,
        max_running=parent.max_running if parent.periodic is not None else 0,
    )
