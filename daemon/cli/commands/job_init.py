"""`encamp job init`: an example to begin with."""

from __future__ import annotations

from pathlib import Path

import click

from daemon.cli.console import Console
from daemon.cli.framework import command, option, settings_of
from daemon.model.errors import Conflict

DEFAULT_NAME = "example.nomad.hcl"

SHORT = """\
job "example" {
  group "web" {
    network {
      port "http" {}
    }

    task "server" {
      driver = "raw_exec"

      config {
        command = "python3"
        args    = ["-m", "http.server", "${NOMAD_PORT_http}", "--bind", "${NOMAD_IP_http}"]
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
"""

LONG = """\
# A small web server, run as a plain process. The raw_exec driver is on in
# `encamp agent -dev`; elsewhere the agent's configuration must allow it.
job "example" {
  # service: runs until it is stopped. batch: runs to its end. system: once on every node.
  # sysbatch: to its end on every node.
  type        = "service"
  datacenters = ["*"]

  group "web" {
    # How many copies. Each gets its own ports and its own directory.
    count = 1

    network {
      # A port that the scheduler chooses. `static = 8080` would ask for that very one.
      port "http" {}
    }

    # A task that exits is started again on its node: so often, so quickly, then it counts as failed
    # and is placed anew as the reschedule block says.
    restart {
      attempts = 2
      interval = "30m"
      delay    = "15s"
      mode     = "fail"
    }

    # `encamp job run` waits until the tasks have run for min_healthy_time.
    update {
      min_healthy_time = "5s"
      healthy_deadline = "2m"
    }

    task "server" {
      driver = "raw_exec"

      config {
        command = "python3"
        args    = ["-m", "http.server", "${NOMAD_PORT_http}", "--bind", "${NOMAD_IP_http}"]
      }

      env {
        GREETING = "hello"
      }

      # MHz and MiB. The scheduler finds a node that has them to spare.
      resources {
        cpu    = 100
        memory = 64
      }

      # Output is kept in files of this size, this many of them.
      logs {
        max_files     = 3
        max_file_size = 10
      }
    }
  }
}
"""


@command("init", example="encamp job init\nencamp job run example.nomad.hcl")
@click.argument("file", required=False, default=DEFAULT_NAME)
@option("-short", "short", is_flag=True, help="Without comments and optional blocks.")
@click.pass_context
def init(ctx: click.Context, file: str, short: bool) -> None:
    """Write an example job file, example.nomad.hcl unless another name is given. Never overwrites."""
    path = Path(file)
    try:
        with path.open("x") as opened:
            opened.write(SHORT if short else LONG)
    except FileExistsError as error:
        raise Conflict(f"{file} exists already; give another name") from error
    Console(settings_of(ctx).color).line(
        f"Example job file written to {file}; `encamp job run {file}` runs it"
    )
