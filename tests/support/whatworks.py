"""What each command says of each kind of image: the cells of docs/reference/what-works-on-what.md.

Every cell is a command that ran here, in a fork of one process (`tests.support.clirun`). To add a command, give it a
line in `COMMANDS`; to add a kind of image, see `tests.support.imagekinds`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.clirun import DOCUMENTED, Ended, Runner, faults_of
from tests.support.imagekinds import KINDS, ImageKind, Parts, Workshop
from tests.support.tree import ROOT

PAGE = ROOT / "docs/reference/what-works-on-what.md"
BEGIN, END = "<!-- made by make docs -->\n", "<!-- end of what is made -->\n"
_READ = f"{sys.executable} -S {ROOT}/tests/support/oneread.py $unixsocket"
_BOOT = "boot --dry-run"
_JUDGES = (_BOOT, "simulate")
"""Commands that have exit code 4: it would be booted, though unverified."""

COMMANDS: Mapping[str, Sequence[Sequence[str]]] = {
    "inspect": [["inspect", "IMAGE"]],
    "inspect --full": [["inspect", "--full", "IMAGE"]],
    "entries": [["entries", "--look-in", "esp,xbootldr,root", "IMAGE"]],
    _BOOT: [["boot", "--dry-run", "IMAGE"]],
    "plan": [["plan", "IMAGE"]],
    "simulate": [["simulate", "IMAGE"]],
    "serve": [["serve", "IMAGE", "--run", _READ]],
    "overlay": [["serve", "IMAGE", "--overlay", "changes", "--run", _READ], ["overlay", "check", "changes"]],
    "dm hash": [["dm", "hash", "--table", "table", "--length", "512"]],
    "verity": [
        ["verity", "format", "IMAGE", "hashes", "--root-hash-file", "root"],
        ["verity", "verify", "IMAGE", "hashes", "--root-hash-file", "root"],
    ],
}
"""The lines of each command, by its column: they run one after the other, up to the first that fails."""

_OTHER_KIND = re.compile("the disk has no RedoxFS|is for an image-based Linux")

WORDS = {0: "works", 1: "refused", 2: "not offered", 3: "no", 4: "unverified"}


@dataclass(frozen=True)
class Cell:
    """How a command ended, and the line that says why, where it did not do what it is for."""

    code: int
    word: str
    line: str

    @property
    def text(self) -> str:
        """As the table has it."""
        return f"{self.code} {self.word}"


def run_row(kind: ImageKind, runner: Runner, parts: Parts, folder: Path) -> dict[str, Cell]:
    """Make the image and run every command on it. Raises AssertionError for what no command may do."""
    folder.mkdir()
    image = kind.make(Workshop(folder, parts))
    (folder / "table").write_text(f"0 1 linear {image.name} 0\n")
    return {name: _run(name, kind, runner, image) for name in COMMANDS}


def _run(name: str, kind: ImageKind, runner: Runner, image: Path) -> Cell:
    for line in COMMANDS[name]:
        words = [image.name if word == "IMAGE" else word for word in line]
        ended = runner.run([*words, *kind.words.get(name, ())], cwd=image.parent)
        faults = faults_of(ended, codes=WORDS if name in _JUDGES else DOCUMENTED)
        assert not faults, f"{kind.name}: {words}: {faults}\n{ended.err.decode()}"
        if ended.code:
            break
    assert ended.code is not None
    word = WORDS[ended.code]
    if name.startswith("inspect") and ended.code:
        word = "recognised" if kind.called else "unknown"
    elif _OTHER_KIND.search(_reason(ended)):
        word = "other kind"
    if name == "inspect":
        assert kind.called in ended.out.decode() + ended.err.decode(), f"{kind.name} is not called {kind.called}"
    return Cell(ended.code, word, _reason(ended))


def _reason(ended: Ended) -> str:
    """The line that says why a command ended as it did."""
    if not ended.code:
        return ""
    out, err = ended.out.decode().strip().splitlines(), ended.err.decode().strip().splitlines()
    verdicts = [line for line in out if line.startswith("Verdict")]
    line = (verdicts or err or out)[-1]
    return re.sub(r"[0-9a-f]{16,}", "…", line.removeprefix("bootpath: ").strip())


def table(rows: Mapping[str, Mapping[str, Cell]]) -> str:
    """The table, and below it what is said where a command did not do what it is for."""
    lines = [f"| Kind of image | {' | '.join(f'`{name}`' for name in COMMANDS)} |", f"|---|{'---|' * len(COMMANDS)}"]
    lines += [row_line(name, cells) for name, cells in rows.items()]
    lines += ["", "## What is said where it is not “works”", ""]
    for name in rows:
        lines += reasons(name, rows[name])
    return "\n".join([*lines, ""])


def row_line(name: str, cells: Mapping[str, Cell]) -> str:
    """A line of the table."""
    return f"| {name} | {' | '.join(cells[command].text for command in COMMANDS)} |"


def reasons(name: str, cells: Mapping[str, Cell]) -> list[str]:
    """What is said of one kind, each sentence once."""
    said: dict[str, list[str]] = {}
    for command in COMMANDS:
        if cells[command].line:
            said.setdefault(cells[command].line, []).append(f"`{command}`")
    if not said:
        return []
    return [f"**{name}**", "", *(f"- {', '.join(commands)}: {_code(line)}" for line, commands in said.items()), ""]


def _code(line: str) -> str:
    fence = "``" if "`" in line else "`"
    return f"{fence}{line}{fence}"


def all_rows(folder: Path, kinds: Iterable[ImageKind] = KINDS) -> dict[str, dict[str, Cell]]:
    """Every cell of the page."""
    shared, printed = folder / "shared", folder / "printed"
    shared.mkdir()
    printed.mkdir()
    parts = Parts(shared)
    with Runner(printed) as runner:
        return {kind.name: run_row(kind, runner, parts, folder / str(number)) for number, kind in enumerate(kinds)}


def page(rows: Mapping[str, Mapping[str, Cell]]) -> str:
    """The page with these rows."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    return "".join((before, BEGIN, "\n", table(rows), END, rest.partition(END)[2]))
