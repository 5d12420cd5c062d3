"""Every command on every kind of image: docs/reference/what-works-on-what.md says what comes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.clirun import Runner
from tests.support.imagekinds import KINDS, ImageKind, Parts
from tests.support.whatworks import PAGE, Cell, reasons, row_line, run_row


@dataclass(frozen=True)
class Bench:
    """What the rows share, and those that were made."""

    runner: Runner
    parts: Parts
    folder: Path
    rows: dict[str, dict[str, Cell]] = field(default_factory=dict)

    def row(self, kind: ImageKind) -> dict[str, Cell]:
        if kind.name not in self.rows:
            self.rows[kind.name] = run_row(kind, self.runner, self.parts, self.folder / str(KINDS.index(kind)))
        return self.rows[kind.name]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Runner(tmp_path_factory.mktemp("printed")) as runner:
        yield Bench(runner, Parts(tmp_path_factory.mktemp("parts")), tmp_path_factory.mktemp("images"))


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_a_row_is_true(kind: ImageKind, bench: Bench) -> None:
    """And no command has a traceback, hangs, or says nothing: `run_row` asserts it."""
    assert row_line(kind.name, bench.row(kind)) in PAGE.read_text(), "run make docs"


def test_the_sentences_are_those_that_are_said(bench: Bench) -> None:
    page = loosely(PAGE.read_text())
    wrong = [kind.name for kind in KINDS if loosely("\n".join(reasons(kind.name, bench.row(kind)))) not in page]
    assert not wrong, "run make docs"


def loosely(text: str) -> str:
    """Without the numbers, which the programs that make the images choose."""
    return re.sub(r"[0-9]+", "N", text)


def test_a_kind_has_one_row() -> None:
    names = [kind.name for kind in KINDS]
    assert len(set(names)) == len(names)
    rows = [
        line.split("|")[1].strip() for line in PAGE.read_text().partition("<!-- made")[2].splitlines() if "|" in line
    ]
    assert [row for row in rows if row in names] == names
