"""A job file as a document: variables and locals resolved, the job block found.

Theory: everything that can be said about the text before the schema looks at it. A document of any dialect
ends as one block `job`; what stands beside it at the top level is checked here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.jobspec.apijson import body_of_api_job, is_api_job
from daemon.jobspec.body import Block
from daemon.jobspec.diagnostics import DiagnosticError, error, nearest
from daemon.jobspec.read import Document, is_json, read_classic_document, read_hcl
from daemon.jobspec.source import Source

if TYPE_CHECKING:
    from daemon.jobspec.hcl.nodes import RawBody
    from daemon.jobspec.hcl.variables import Inputs

_TOP = ("job", "variable", "variables", "locals")


def read_job_document(
    source: Source, inputs: Inputs, *, json: bool, hcl1: bool, allow_files: bool
) -> Document:
    """Read a job file of any dialect. `allow_files`: file functions may read beside it."""
    document = Document(source)
    try:
        if hcl1:
            document = read_classic_document(source)
        elif json or is_json(source.text):
            _read_json(source, inputs, document)
        else:
            raw = read_hcl(source, document)
            if raw is not None:
                _evaluate(raw, inputs, document, _folder(source) if allow_files else None)
    except DiagnosticError as failure:
        document.found += failure.diagnostics
    if document.format == "hcl1" and document.body is not None:
        _check_classic_top(document, inputs)
    return document


def _folder(source: Source) -> str:
    return str(Path(source.name).resolve().parent) if os.path.exists(source.name) else str(Path.cwd())


def _read_json(source: Source, inputs: Inputs, document: Document) -> None:
    from daemon.jobspec.hcl.jsonhcl import TOP, raw_body
    from daemon.jobspec.jsontext import read_json

    document.format = "json"
    value = read_json(source)
    if not isinstance(value.data, dict):
        raise DiagnosticError(error(f"a job in JSON is an object, not {value.kind}", value.range))
    if is_api_job(value):
        document.is_api = True
        document.body = body_of_api_job(value)
        return
    _evaluate(raw_body(value, TOP), inputs, document, None)


def _evaluate(raw: RawBody, inputs: Inputs, document: Document, folder: str | None) -> None:
    from daemon.jobspec.hcl.evaluate import Scope
    from daemon.jobspec.hcl.expand import Expander, misplaced
    from daemon.jobspec.hcl.nodes import RawBody
    from daemon.jobspec.hcl.variables import resolve_locals, resolve_variables

    document.found += misplaced(raw, _TOP, "a job file")
    variables, found = resolve_variables(raw, inputs, folder)
    document.found += found
    scope = Scope({"var": variables, "local": {}}, folder)
    locals_, found = resolve_locals(raw, scope)
    document.found += found
    scope.names["local"] = locals_
    expander = Expander()
    jobs = [block for block in raw.blocks if block.type == "job"]
    document.body = expander.body(RawBody(raw.range, [], jobs), scope)
    document.found += expander.found


def _check_classic_top(document: Document, inputs: Inputs) -> None:
    assert document.body is not None
    for name, place in document.body.names():
        if name in ("variable", "variables", "locals"):
            advice = "variables need the current dialect (HCL2)"
            document.found.append(error(f'the classic dialect has no "{name}"', place, suggestion=advice))
        elif name != "job":
            advice = nearest(name, ("job",))
            document.found.append(error(f'a job file has no "{name}" at its top', place, suggestion=advice))
    if inputs.strict:
        for name in inputs.variables:
            source = Source(f"-var {name}", name)
            document.found.append(error("the classic dialect has no variables", source.whole()))


def find_job(document: Document) -> Block | None:
    """The one job block; none, or more than one, is an error."""
    if document.body is None:
        return None
    jobs = document.body.take_blocks("job", 1)
    if not jobs:
        if not any(each.is_error for each in document.found):
            place = document.source.whole()
            document.found.append(
                error("there is no job block in this file", place, suggestion='job "name" { ... }')
            )
        return None
    for extra in jobs[1:]:
        document.found.append(error("only one job may stand in a file", extra.range))
    job = jobs[0]
    if len(job.labels) != 1:
        place = job.labels[1][1] if len(job.labels) > 1 else job.range
        document.found.append(
            error("the block job has one label, its id", place, suggestion='write job "name" { ... }')
        )
        return None
    return job
