"""Every command on every kind of image: docs/reference/what-works-on-what.md says what comes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.clirun import Runner
from tests.support.imagekinds import KINDS, ImageKind, Parts
from tests.support.whatworks import PAGE, reasons, row_line, run_row


@dataclass(frozen=True)
class Bench:
    """What the rows share."""

    runner: Runner
    parts: Parts
    folder: Path


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Runner(tmp_path_factory.mktemp("printed")) as runner:
        yield Bench(runner, Parts(tmp_path_factory.mktemp("parts")), tmp_path_factory.mktemp("images"))


def loosely(text: str) -> str:
    """Without the numbers, which the programs that make the images choose."""
    return re.sub(r"[0-9]+", "N", text)


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_the_page_is_true(kind: ImageKind, bench: Bench) -> None:
    """And no command has a traceback, hangs, or says nothing: `run_row` asserts it."""
    cells = run_row(kind, bench.runner, bench.parts, bench.folder / str(KINDS.index(kind)))
    page = PAGE.read_text()
    assert row_line(kind.name, cells) in page, "run make docs"
    assert loosely("\n".join(reasons(kind.name, cells))) in loosely(page), "run make docs"


def test_a_kind_has_one_row() -> None:
    names = [kind.name for kind in KINDS]
    assert len(set(names)) == len(names)
    rows = [
        line.split("|")[1].strip() for line in PAGE.read_text().partition("<!-- made")[2].splitlines() if "|" in line
    ]
    assert [row for row in rows if row in names] == names
