"""Bases of all requests and answers. Pure.

Source: spec/nomad-surface.md B1.
"""

from __future__ import annotations

from daemon.model.base import Wire


class Query(Wire, frozen=True, kw_only=True):
    """Base of reads. `min_query_index` > 0 blocks until the index passes it, `max_query_time_ns` at most."""

    region: str = ""
    #: "" is `default`; `*` is all, on lists.
    namespace: str = ""
    min_query_index: int = 0
    max_query_time_ns: int = 0
    allow_stale: bool = False
    prefix: str = ""
    per_page: int = 0
    next_token: str = ""


class Answer(Wire, frozen=True, kw_only=True):
    """Base of answers: the index that they reflect."""

    index: int = 0
    known_leader: bool = True
    last_contact_ns: int = 0
    next_token: str = ""


class Write(Wire, frozen=True, kw_only=True):
    """Base of writes."""

    region: str = ""
    namespace: str = ""


class Empty(Answer, frozen=True, kw_only=True):
    """Nothing to say but the index."""


class IdQuery(Query, frozen=True, kw_only=True):
    """Read one object; a unique prefix of the id will do where ids are UUIDs."""

    id: str
