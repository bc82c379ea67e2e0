"""Job files of the end-to-end tests."""

from __future__ import annotations


def service(
    name: str = "web", *, count: int = 1, command: str = "/bin/sh", args: str = '["-c", "exec sleep 300"]',
    driver: str = "raw_exec", group: str = "", task: str = "", type_: str = "service", memory: int = 32,
) -> str:  # fmt: skip
    """A job with one group and one task; `group` and `task` are put into their bodies."""
    update = "" if type_ != "service" else 'update {\n  min_healthy_time = "100ms"\n}'
    return f"""
job "{name}" {{
  type = "{type_}"
  group "g" {{
    count = {count}
    {update}
    {group}
    task "t" {{
      driver = "{driver}"
      config {{
        command = "{command}"
        args    = {args}
      }}
      kill_timeout = "2s"
      resources {{
        cpu    = 20
        memory = {memory}
      }}
      logs {{
        max_files     = 2
        max_file_size = 5
      }}
      {task}
    }}
  }}
}}
"""
