"""Every job file of `cases/`: the good ones give their Job, the bad ones their messages."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.jobspec.casekit import CASES, case_files, check_golden, messages, outcome, parse_case, stem


@pytest.mark.parametrize("path", case_files("good"), ids=stem)
def test_a_good_file_gives_its_job(path: Path) -> None:
    result = parse_case(path)
    assert result.errors == (), messages(result)
    assert result.job is not None
    check_golden(CASES / "good" / f"{stem(path)}.expected.json", outcome(result))


@pytest.mark.parametrize("path", case_files("bad"), ids=stem)
def test_a_bad_file_gives_its_messages(path: Path) -> None:
    result = parse_case(path)
    assert result.job is None
    assert result.errors
    assert all(each.range is not None for each in result.diagnostics), "every message has a place"
    check_golden(CASES / "bad" / f"{stem(path)}.expected.txt", messages(result))


def test_there_are_a_hundred_different_files() -> None:
    texts = {path.read_bytes() for kind in ("good", "bad") for path in case_files(kind)}
    assert len(texts) >= 100
