"""The entry: text of a job file to a Job, with every error and warning at its place.

Theory: read (a dialect to a body), schema (a body to a struct), canonicalize, validate (the struct to
problems, led back to places). A file with any error gives no job. Rules on what could not be read are not
reported: one mistake, one message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from daemon.jobspec.diagnostics import Diagnostic, error, ordered, warning
from daemon.jobspec.document import find_job, read_job_document
from daemon.jobspec.driverconfig import check_task_config
from daemon.jobspec.read import Document, decode_text
from daemon.jobspec.rules.problem import Path, Problem
from daemon.jobspec.schema.build import build_job
from daemon.jobspec.schema.reader import Reader
from daemon.jobspec.schema.tables import JOB
from daemon.jobspec.source import Range
from daemon.jobspec.validate import ConfigCheck, validate_job
from daemon.model.defaults import canonicalize
from daemon.model.job import Job, JobSource


@dataclass(frozen=True, slots=True)
class ParseResult:
    """What came of a job file: a canonical job, or none and at least one error."""

    job: Job | None
    diagnostics: tuple[Diagnostic, ...]
    source: JobSource

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """What refuses the file."""
        return tuple(each for each in self.diagnostics if each.is_error)

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """What does not."""
        return tuple(each for each in self.diagnostics if not each.is_error)


def parse_job(
    text: str | bytes,
    *,
    filename: str = "<stdin>",
    variables: Mapping[str, str] | None = None,
    var_files: Sequence[tuple[str, str]] = (),
    environment: Mapping[str, str] | None = None,
    strict: bool = True,
    json: bool = False,
    hcl1: bool = False,
    allow_files: bool = True,
    check_config: ConfigCheck | None = check_task_config,
) -> ParseResult:
    """Read a job file.

    `variables` come from -var, `var_files` are (name, text), `environment` is searched for NOMAD_VAR_x.
    `strict` refuses values for undeclared variables. `allow_files` False (servers) refuses file functions.
    """
    from daemon.jobspec.hcl.variables import Inputs

    source, found = decode_text(text, filename)
    given = dict(variables or {})
    if found:
        return ParseResult(None, tuple(found), JobSource(variables=given))
    inputs = Inputs(given, list(var_files), environment or {}, strict)
    document = read_job_document(source, inputs, json=json, hcl1=hcl1, allow_files=allow_files)
    job = _job_of(document, check_config)
    diagnostics = ordered(document.found)
    kept = JobSource(source=source.text, format=document.format, variables=given)
    if any(each.is_error for each in diagnostics):
        return ParseResult(None, diagnostics, kept)
    return ParseResult(job, diagnostics, kept)


def _job_of(document: Document, check_config: ConfigCheck | None) -> Job | None:
    block = find_job(document)
    if block is None:
        return None
    reader = Reader(api=document.is_api)
    fields = reader.block(JOB, block, ())
    job = canonicalize(build_job(fields, reader))
    for problem in validate_job(job, check_config=check_config):
        placed = _place(problem, reader)
        if placed is not None:
            reader.found.append(placed)
    document.found += reader.found
    return job


def _place(problem: Problem, reader: Reader) -> Diagnostic | None:
    """The problem at its place; None when what it speaks of is known to be wrong already."""
    if _is_broken(problem.path, reader):
        return None
    place = _config_place(problem, reader) or _find(problem.path, reader.places)
    make = warning if problem.is_warning else error
    return make(problem.message, place, suggestion=problem.suggestion)


def _is_broken(path: Path, reader: Reader) -> bool:
    paths = [path[:length] for length in range(1, len(path) + 1)]
    if path and path[-1].startswith("config."):
        name = re.split(r"[.\[]", path[-1].removeprefix("config."))[0]
        paths += [(*path[:-1], "config"), (*path[:-1], "config", name)]
    paths += [path[1:]] if len(path) > 1 and path[1] in ("update", "reschedule") else []
    return any(each in reader.broken for each in paths)


def _find(path: Path, places: dict[Path, Range]) -> Range | None:
    """The nearest place: the path, its job-level twin, or what it lies in."""
    while True:
        if path in places:
            return places[path]
        if len(path) > 1 and path[1] in ("update", "reschedule") and path[1:] in places:
            return places[path[1:]]
        if len(path) > 2 and path[2] == "restart" and (path[0], *path[2:]) in places:
            return places[(path[0], *path[2:])]
        if not path:
            return None
        path = path[:-1]


_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def _config_place(problem: Problem, reader: Reader) -> Range | None:
    """The place inside a driver's config: `config.mount[0].type` in the free-form value."""
    path = problem.path
    if not path or not path[-1].startswith("config."):
        return None
    value = reader.frees.get((*path[:-1], "config"))
    if value is None:
        return None
    place: Range | None = value.range
    at_key = "unknown key" in problem.message or "is not supported" in problem.message
    for found in _STEP.finditer(path[-1].removeprefix("config.")):
        name, number = found.groups()
        if isinstance(value.data, list) and name is not None and len(value.data) == 1:
            value = value.data[0]
        if name is not None and isinstance(value.data, dict) and name in value.data:
            place = value.keys.get(name, value.range)
            value = value.data[name]
            place = place if at_key or isinstance(value.data, dict | list) else value.range
        elif number is not None and isinstance(value.data, list) and int(number) < len(value.data):
            value = value.data[int(number)]
            place = value.range
        else:
            break
    return place
