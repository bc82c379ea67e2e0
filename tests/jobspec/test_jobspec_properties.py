"""Random jobs printed and read back; random text never crashes a reader."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from daemon.jobspec.parse import ParseResult, parse_job
from daemon.jobspec.read import decode_text, read_plain
from daemon.model.base import to_json
from daemon.model.defaults import canonicalize, default_restart
from daemon.model.enums import JobType
from daemon.model.job import Job, Task, TaskGroup, VolumeMount, VolumeRequest
from daemon.model.policies import Constraint, EphemeralDisk, LogRotation, ReschedulePolicy
from daemon.model.resources import Network, Port, Resources

NAMES = st.text("abcdefgh-_XYZ0123", min_size=1, max_size=8).filter(lambda name: name != "alloc")
TEXTS = st.text(max_size=12).filter(lambda text: "\0" not in text)
MAPS = st.dictionaries(NAMES, TEXTS, max_size=3)
CONFIG = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
CONSTRAINTS = st.lists(
    st.builds(
        Constraint,
        l_target=st.sampled_from(["${attr.kernel.name}", "${meta.rack}"]),
        r_target=TEXTS.filter(bool),
        operand=st.sampled_from(["=", "!=", "<", "set_contains", "set_contains_any"]),
    )
    | st.just(Constraint(operand="distinct_hosts", r_target="true")),
    max_size=3,
).map(tuple)
GROUP_CONSTRAINTS = CONSTRAINTS
TASK_CONSTRAINTS = CONSTRAINTS.map(lambda all_: tuple(c for c in all_ if c.operand != "distinct_hosts"))


@st.composite
def tasks(draw: st.DrawFn, name: str) -> Task:
    return Task(
        name=name,
        driver=draw(st.sampled_from(["one_driver", "other_driver"])),
        user=draw(st.sampled_from(["", "nobody"])),
        config=draw(st.dictionaries(NAMES, CONFIG, max_size=3)),
        env=draw(MAPS),
        meta=draw(MAPS),
        resources=Resources(
            cpu=draw(st.integers(1, 10_000)),
            memory_mb=draw(st.integers(10, 4096)),
            memory_max_mb=draw(st.sampled_from([0, -1, 8192])),
        ),
        constraints=draw(TASK_CONSTRAINTS),
        log_config=LogRotation(
            max_files=draw(st.integers(1, 5)),
            max_file_size_mb=draw(st.integers(1, 5)),
            disabled=draw(st.booleans()),
            rate_limit_bytes=draw(st.integers(0, 10**9)),
        ),
        kill_timeout_ns=draw(st.integers(0, 10**12)),
        kill_signal=draw(st.sampled_from(["", "SIGINT", "SIGUSR1"])),
        shutdown_delay_ns=draw(st.integers(0, 10**12)),
    )


@st.composite
def groups(draw: st.DrawFn, name: str, job_type: JobType) -> TaskGroup:
    names = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    labels = draw(st.lists(NAMES, max_size=4, unique=True))
    split = draw(st.integers(0, len(labels)))
    networks: tuple[Network, ...] = ()
    if labels:
        networks = (
            Network(
                reserved_ports=tuple(
                    Port(label=each, value=1000 + at) for at, each in enumerate(labels[:split])
                ),
                dynamic_ports=tuple(
                    Port(label=each, to=draw(st.integers(-1, 9000))) for each in labels[split:]
                ),
            ),
        )
    volumes = draw(st.dictionaries(NAMES, st.booleans(), max_size=2))
    made = [draw(tasks(each)) for each in names]
    if volumes:
        mount = VolumeMount(volume=next(iter(volumes)), destination="/x", read_only=draw(st.booleans()))
        made[0] = Task(
            **{**{f: getattr(made[0], f) for f in made[0].__struct_fields__}, "volume_mounts": (mount,)}
        )
    policy = None
    if job_type is not JobType.SYSTEM and draw(st.booleans()):
        policy = ReschedulePolicy(delay_ns=draw(st.integers(5 * 10**9, 10**12)), max_delay_ns=10**13)
    return TaskGroup(
        name=name,
        count=draw(st.integers(0, 1 if job_type is JobType.SYSTEM else 9)),
        tasks=tuple(made),
        constraints=draw(GROUP_CONSTRAINTS),
        networks=networks,
        volumes={n: VolumeRequest(name=n, source="s", read_only=r) for n, r in volumes.items()},
        restart_policy=default_restart(job_type),
        reschedule_policy=policy,
        ephemeral_disk=EphemeralDisk(size_mb=draw(st.integers(100, 5000)), sticky=draw(st.booleans())),
        meta=draw(MAPS),
        shutdown_delay_ns=draw(st.integers(0, 10**12)),
        max_run_duration_ns=draw(st.integers(0, 10**13)) if job_type is JobType.BATCH else 0,
    )


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    job_type = draw(st.sampled_from([JobType.SERVICE, JobType.BATCH, JobType.SYSTEM]))
    names = draw(st.lists(NAMES, min_size=1, max_size=2, unique=True))
    return canonicalize(
        Job(
            id=draw(NAMES),
            name=draw(TEXTS),
            type=job_type,
            priority=draw(st.integers(1, 100)),
            all_at_once=draw(st.booleans()),
            datacenters=tuple(draw(st.lists(NAMES, min_size=1, max_size=2))),
            constraints=draw(GROUP_CONSTRAINTS),
            meta=draw(MAPS),
            task_groups=tuple(draw(groups(name, job_type)) for name in names),
        )
    )


SPEED = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SPEED
@given(jobs(), st.booleans())
def test_a_job_printed_as_json_reads_back(job: Job, wrapped: bool) -> None:
    text = to_json(job, indent=1).decode()
    result = parse_job('{"Job": ' + text + "}" if wrapped else text, json=True, check_config=None)
    assert result.errors == ()
    assert result.job == job


def never_crashes(data: bytes | str) -> ParseResult:
    result = parse_job(data, check_config=None)
    assert result.job is not None or result.errors
    assert all(str(each) for each in result.diagnostics)
    return result


@SPEED
@given(st.binary(max_size=200) | st.text(max_size=200))
@example(b"\xff\xfe")
@example("job")
@example('job "a" {')
@example("{")
@example("[[")
@example('"')
@example("<<E")
@example("a = <<-E\n${\nE")
@example('a = "%{"')
@example("${")
@example("/*")
@example("\r\n" * 50)
def test_random_text_never_crashes(data: bytes | str) -> None:
    never_crashes(data)


PIECES = st.sampled_from(
    [
        'job "a" {',
        "}",
        "{",
        "[",
        "]",
        "(",
        ")",
        '"',
        "${",
        "%{",
        "<<E\n",
        "E\n",
        "=",
        "a",
        "1",
        ",",
        ".",
        "\n",
        "?",
    ]
    + [
        ":",
        "for x in",
        "if",
        "else",
        "endif",
        "...",
        "=>",
        "*",
        "-",
        "!",
        "#",
        "//",
        "/*",
        "*/",
        "\\",
        "group",
        "null",
    ]
)


@SPEED
@given(st.lists(PIECES, max_size=40).map(" ".join) | st.lists(PIECES, max_size=40).map("".join))
def test_random_grammar_never_crashes(text: str) -> None:
    never_crashes(text)
    source, found = decode_text(text, "x")
    if not found:
        read_plain(source)


GOOD = sorted((Path(__file__).parent / "cases" / "good").glob("*.nomad*"))


@SPEED
@given(
    st.sampled_from(GOOD),
    st.integers(0, 2000),
    st.integers(1, 30),
    st.sampled_from(["", "}", '"', "${", "x = 1"]),
)
def test_a_damaged_file_never_crashes(path: Path, at: int, length: int, put: str) -> None:
    text = path.read_text()
    at %= len(text)
    never_crashes(text[:at] + put + text[at + length :])


@pytest.mark.parametrize(
    "text",
    [
        "a {\n" * 3000,
        "a {\n" * 3000 + "}\n" * 3000,
        "x = " + "[" * 20000,
        "x = " + "{a=" * 3000 + "1" + "}" * 3000,
        '{"a":' * 3000,
        "x = " + "-" * 3000 + "1",
        'x = "' + "${" * 3000,
        "x = " + "a ? b : " * 3000 + "c",
        "x = <<E\n" + "${" * 3000 + "\nE\n",
        "x = <<E\n" + "%{ if true }" * 3000 + "\nE\n",
        '"k" = ' + "[" * 3000 + "]" * 3000,
        '"k" { "k" { ' * 500 + "}}" * 500,
        'x = "a\nb"\n' + "a {\n" * 3000 + "}\n" * 3000,
    ],
    ids=lambda text: text[:12].replace("\n", " "),
)
def test_deep_text_gives_an_error_with_a_place(text: str) -> None:
    result = never_crashes(text)
    assert result.errors
    assert result.errors[0].range is not None
