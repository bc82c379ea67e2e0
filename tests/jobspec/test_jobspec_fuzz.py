"""Job files cut, glued and salted at random: always a job, or errors with places."""

from __future__ import annotations

import random
import string

import pytest

from daemon.jobspec.diagnostics import render, to_json
from daemon.jobspec.parse import parse_job
from tests.jobspec.casekit import case_files

SALT = (
    """{ } " ${ %{ <<E E = , [ ] ( ) \\ /* # null - * ... ? : ~ $ % é 0x 1e999 . for if else endif in true <<-E
'""".split()
    + ["\n", "\t", "\r", "E\n"]
)


def damaged(chance: random.Random, texts: list[str]) -> str:
    text = chance.choice(texts)
    for _ in range(chance.randint(1, 4)):
        at, kind = chance.randrange(len(text) + 1), chance.random()
        if kind < 0.3:
            text = text[:at] + text[at + chance.randint(1, 40) :]
        elif kind < 0.6:
            other = chance.choice(texts)
            start = chance.randrange(len(other) + 1)
            text = text[:at] + other[start : start + chance.randint(1, 80)] + text[at:]
        elif kind < 0.9:
            text = text[:at] + chance.choice(SALT) + text[at:]
        else:
            text = text[:at] + "".join(chance.choices(string.printable, k=5)) + text[at:]
    return text


def run(seed: int, count: int) -> None:
    chance = random.Random(seed)
    paths = [path for kind in ("good", "bad") for path in case_files(kind) if "deep" not in path.name]
    texts = [path.read_bytes().decode(errors="replace") for path in paths]
    for _ in range(count):
        text = damaged(chance, texts)
        result = parse_job(
            text, hcl1=chance.random() < 0.2, variables={"x": "1"} if chance.random() < 0.2 else {}
        )
        assert result.job is not None or result.errors, text
        assert all(each.range is not None for each in result.diagnostics), text
        assert render(result.diagnostics) or not result.diagnostics
        assert len(to_json(result.diagnostics)) == len(result.diagnostics)


def test_damaged_files_short() -> None:
    run(seed=random.randrange(10**6), count=1000)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_long(seed: int) -> None:
    run(seed, count=25_000)
