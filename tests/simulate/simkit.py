"""Builders for the tests of the simulation."""

from __future__ import annotations

from daemon.jobspec.parse import parse_job
from daemon.model.job import Job
from daemon.simulate.fleet_file import read_fleet
from daemon.simulate.kinds import Kind
from daemon.simulate.world import World
from daemon.state.state import State

FLEET = """
machine "small" {
  count  = 6
  cpu    = 1000
  memory = 1000
  across "meta.rack" {
    values = ["r1", "r2", "r3"]
  }
}
"""


def kinds_in(text: str) -> tuple[Kind, ...]:
    found = read_fleet(text.encode(), "fleet.hcl")
    assert not found.diagnostics, [str(each) for each in found.diagnostics]
    return found.kinds


def make_world(text: str = FLEET, seed: int = 0) -> World:
    world = World(State(), seed=seed)
    world.add_nodes(node for kind in kinds_in(text) for node in kind.machines(0, kind.count))
    return world


def make_job(
    name: str = "web", *, count: int = 1, cpu: int = 100, memory: int = 100, type_: str = "service",
    head: str = "", group: str = "",
) -> Job:  # fmt: skip
    counted = f"count = {count}" if type_ != "system" else ""
    text = f"""
job "{name}" {{
  type = "{type_}"
  {head}
  group "g" {{
    {counted}
    {group}
    ephemeral_disk {{
      size = 10
    }}
    task "t" {{
      driver = "raw_exec"
      config {{
        command = "sleep"
        args    = ["60"]
      }}
      logs {{
        max_files     = 1
        max_file_size = 1
      }}
      resources {{
        cpu    = {cpu}
        memory = {memory}
      }}
    }}
  }}
}}
"""
    result = parse_job(text, filename=f"{name}.hcl")
    assert result.job is not None, [str(each) for each in result.diagnostics]
    return result.job
