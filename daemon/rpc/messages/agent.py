"""Messages about the agent and the system. Pure. Source: spec/nomad-surface.md B6."""

from __future__ import annotations

from typing import Any

from daemon.rpc.messages.base import Answer, Query


class AgentSelfResponse(Answer, frozen=True, kw_only=True):
    """The agent that answers: its configuration (secrets blanked) and figures."""

    name: str = ""
    region: str = "global"
    datacenter: str = "dc1"
    version: str = ""
    node_id: str = ""
    server: bool = False
    client: bool = False
    config: dict[str, Any] = {}
    stats: dict[str, dict[str, Any]] = {}


class MonitorRequest(Query, frozen=True, kw_only=True):
    """Live log of the agent, from `log_level` upwards."""

    log_level: str = "INFO"
    log_json: bool = False


class EventStreamRequest(Query, frozen=True, kw_only=True):
    """Changes of the state from `index` on; `topics` as `Topic` or `Topic:key`."""

    topics: tuple[str, ...] = ()
    index: int = 0


class LeaderResponse(Answer, frozen=True, kw_only=True):
    """Address of the leader, "" when there is none."""

    leader: str = ""
