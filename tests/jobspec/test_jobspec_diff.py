"""What changed between two jobs, and how it is printed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from daemon.jobspec.diff import annotate, diff_jobs
from daemon.jobspec.difftypes import JobDiff
from daemon.jobspec.parse import parse_job
from daemon.jobspec.render import DURATIONS, render_diff
from daemon.model.base import to_json, wire_name
from daemon.model.job import Job, Task, TaskGroup
from daemon.model.plan import GroupAnnotation
from daemon.model.policies import DisconnectStrategy, ReschedulePolicy, RestartPolicy, UpdateStrategy

BASE = """
job "web" {
  datacenters = ["dc1"]
  meta { owner = "core" }
  group "g" {
    count = 2
    network {
      port "http" { to = 80 }
    }
    task "t" {
      driver = "docker"
      config {
        image = "web:1"
        args  = ["-v"]
      }
      env { A = "1" }
      resources { cpu = 200 }
    }
  }
}
"""


def job(text: str) -> Job:
    result = parse_job(text, check_config=None)
    assert result.job is not None, result.errors
    return result.job


def changed(*replacements: tuple[str, str]) -> JobDiff:
    text = BASE
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    return diff_jobs(job(BASE), job(text))


def lines(diff: JobDiff, **options: Any) -> list[str]:
    return [" ".join(line.split()) for line in render_diff(diff, **options).splitlines()]


def test_equal_jobs_have_no_difference() -> None:
    diff = diff_jobs(job(BASE), job(BASE))
    assert diff.type == "None"
    assert render_diff(diff) == 'Job: "web"\n'


def test_server_fields_do_not_count() -> None:
    stored = msgspec.structs.replace(job(BASE), version=7, modify_index=9, stable=True, submit_time_ns=5)
    assert diff_jobs(stored, job(BASE)).type == "None"


@pytest.mark.parametrize(
    ("replacements", "wanted"),
    [
        ([("count = 2", "count = 3")], '+/- Count: "2" => "3"'),
        ([('"web:1"', '"web:2"')], '+/- image: "web:1" => "web:2"'),
        ([('["-v"]', '["-v", "-x"]')], '+ args[1]: "-x"'),
        ([('{ A = "1" }', '{ A = "2" }')], '+/- Env[A]: "1" => "2"'),
        ([('env { A = "1" }', "")], '- Env[A]: "1"'),
        ([('{ owner = "core" }', '{ owner = "ops" }')], '+/- Meta[owner]: "core" => "ops"'),
        ([('["dc1"]', '["dc1", "dc2"]')], '+ Datacenters: "dc2"'),
        ([("cpu = 200", "cpu = 300")], '+/- CPU: "200" => "300"'),
        ([("to = 80", "static = 80")], "+ Static Port {"),
        ([("to = 80", "to = 81")], '+/- To: "80" => "81"'),
        (
            [('driver = "docker"', 'driver = "docker"\nkill_timeout = "30s"')],
            '+/- KillTimeout: "5s" => "30s"',
        ),
        ([("count = 2", "count = 2\nrestart { attempts = 9 }")], '+/- Attempts: "2" => "9"'),
        ([("count = 2", "constraint { distinct_hosts = true }\ncount = 2")], '+ Operand: "distinct_hosts"'),
        ([('task "t"', 'task "u"')], '+ Task: "u"'),
        ([('task "t"', 'task "u"')], '- Task: "t"'),
        ([('group "g"', 'group "h"')], '- Task Group: "g"'),
    ],
)
def test_one_change(replacements: list[tuple[str, str]], wanted: str) -> None:
    diff = changed(*replacements)
    assert diff.type == "Edited"
    assert wanted in lines(diff)


def test_added_and_deleted_jobs() -> None:
    added, deleted = diff_jobs(None, job(BASE)), diff_jobs(job(BASE), None)
    assert (added.type, deleted.type) == ("Added", "Deleted")
    assert lines(added)[0] == '+ Job: "web"'
    assert lines(deleted)[0] == '- Job: "web"'
    assert '+ image: "web:1"' in lines(added)
    assert all(group.type == "Added" for group in added.task_groups)
    assert diff_jobs(None, None).type == "None"


def test_only_what_changed_is_shown() -> None:
    text = render_diff(changed(('"web:1"', '"web:2"')))
    assert "Priority" not in text
    assert text == (
        '+/- Job: "web"\n'
        '+/- Task Group: "g"\n'
        '  +/- Task: "t"\n'
        "    +/- Config {\n"
        '      +/- image: "web:1" => "web:2"\n'
        "        }\n"
    )


def test_contextual_keeps_unchanged_fields() -> None:
    new = job(BASE.replace("cpu = 200", "cpu = 300"))
    diff = diff_jobs(job(BASE), new, contextual=True)
    resources = next(o for o in diff.task_groups[0].tasks[0].objects if o.name == "Resources")
    assert {field.type for field in resources.fields} == {"None", "Edited"}
    assert "MemoryMB" in render_diff(diff, verbose=True)


def test_annotations_say_what_would_happen() -> None:
    diff = annotate(
        changed(("count = 2", "count = 5"), ('"web:1"', '"web:2"')),
        {"g": GroupAnnotation(place=3, destructive_update=2)},
    )
    shown = lines(diff)
    assert '+/- Task Group: "g" (3 create, 2 create/destroy update)' in shown
    assert '+/- Count: "2" => "5" (forces create)' in shown
    assert '+/- Task: "t" (forces create/destroy update)' in shown


def test_a_kill_timeout_changes_in_place() -> None:
    diff = annotate(changed(('driver = "docker"', 'driver = "docker"\nkill_timeout = "9s"')), {})
    assert diff.task_groups[0].tasks[0].annotations == ("forces in-place update",)


def test_an_untouched_group_with_work_is_shown() -> None:
    diff = annotate(diff_jobs(job(BASE), job(BASE)), {"g": GroupAnnotation(ignore=2)})
    assert lines(diff) == ['Job: "web"', 'Task Group: "g" (2 ignore)']


def test_wire_shape() -> None:
    data = msgspec.json.decode(to_json(changed(("count = 2", "count = 3"))))
    assert data["Type"] == "Edited"
    assert data["TaskGroups"][0]["Fields"] == [
        {"Type": "Edited", "Name": "Count", "Old": "2", "New": "3", "Annotations": []}
    ]


def test_color_escapes_names_that_look_like_markup() -> None:
    text = render_diff(changed(('["-v"]', '["[red]"]')), color=True)
    assert "args\\[0]" in text
    assert "[yellow]+/-[/]" in text


def test_values_stay_on_one_line() -> None:
    diff = changed(('"web:1"', '"a\\nb\\u001b[31m"'))
    assert '+/- image: "web:1" => "a\\nb\ufffd[31m"' in lines(diff)


def test_every_duration_of_the_model_is_printed_as_one() -> None:
    structs = (Task, TaskGroup, UpdateStrategy, RestartPolicy, ReschedulePolicy, DisconnectStrategy)
    names = {wire_name(f) for s in structs for f in s.__struct_fields__ if f.endswith("_ns")}
    assert names == DURATIONS
