"""The pages' blocks, run in their order as a reader would run them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.docs.page import Block, Command, Mark, read_page
from tests.docs.places import PLACES
from tests.docs.scene import Scene, Stock
from tests.docs.shell import Shell
from tests.docs.shown import matches
from tests.support.tools import missing
from tests.support.tree import ROOT

PAGES = {
    str(path.relative_to(ROOT)): read_page(path) for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
}
LATER = {Mark.ROOT, Mark.SLOW}
NOW = {name: [block for block in blocks if not block.marks & LATER] for name, blocks in PAGES.items()}
RUN = [name for name, blocks in NOW.items() if blocks]
IN_FULL = [name for name, blocks in PAGES.items() if len(blocks) > len(NOW[name])]
SECONDS, SLOW_SECONDS = 120.0, 3600.0


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    return Stock(tmp_path_factory.mktemp("stock"))


@pytest.fixture
def scene(tmp_path: Path, stock: Stock) -> Iterator[Scene]:
    (tmp_path / "page").mkdir()
    with ExitStack() as stack:
        yield Scene(tmp_path / "page", stock, stack)


def test_every_page_with_commands_has_a_place() -> None:
    assert {name for name, blocks in PAGES.items() if blocks} == set(PLACES)


@pytest.mark.parametrize("name", RUN)
def test_page(name: str, scene: Scene, tmp_path: Path) -> None:
    run_page(name, NOW[name], scene, tmp_path)


@pytest.mark.full
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", IN_FULL)
def test_page_in_full(name: str, scene: Scene, tmp_path: Path) -> None:
    """With the blocks that take minutes or need root."""
    if os.geteuid() and any(Mark.ROOT in block.marks for block in PAGES[name]):
        missing("root's rights")
    run_page(name, PAGES[name], scene, tmp_path)


def run_page(name: str, blocks: list[Block], scene: Scene, logs: Path) -> None:
    PLACES[name](scene)
    logs = logs / "logs"
    logs.mkdir()
    covered = scene.covered if any(Mark.ROOT in block.marks for block in blocks) else ()
    with Shell(scene.folder, scene.environment, logs, covered=covered) as shell:
        for block in blocks:
            if block.language == "python":
                script = logs / f"line{block.line}.py"
                script.write_text(block.code)
                run_command(shell, name, Command(block.line, f"{sys.executable} -W error {script}"), block)
            for command in block.commands:
                run_command(shell, name, command, block)


def run_command(shell: Shell, page: str, command: Command, block: Block) -> None:
    __tracebackhide__ = True
    seconds = SLOW_SECONDS if Mark.SLOW in block.marks else SECONDS
    where = f"{page}:{command.line}: {command.text}"
    if command.in_background:
        said = shell.start(command.text, lines=max(1, len(command.shown)), seconds=seconds)
    else:
        code, said = shell.run(command.text, seconds=seconds)
        if code != command.exit_code:
            pytest.fail(f"{where}\nended with {code}, expected {command.exit_code}:\n{said}", pytrace=False)
    vary = Mark.NUMBERS_VARY in block.marks
    if command.shown and not matches(command.shown, said, numbers_vary=vary):
        shown = "\n".join(command.shown)
        pytest.fail(f"{where}\nsaid:\n{said}\nexpected:\n{shown}", pytrace=False)
