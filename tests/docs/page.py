"""A page of the docs as a list of blocks that can be run: its ``console`` and ``python`` fences, in their order.

In a console block a line that begins with ``$ `` is a command, ``# `` one of root's; the lines below are what it shows.
A command goes on in the next line after a backslash, runs in the background where it ends with ``&``, and ends with 0
or as its comment says: ``# exit code 3``. A comment of HTML above the fence says what a block needs::

    <!-- test: root, slow -->

root, network (its servers are local ones here), slow (minutes), and that its numbers vary from run to run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

_MARKS = re.compile(r"<!-- test: (.+) -->")
_FENCE = re.compile(r"( *)```(\w*)")
_PROMPT = re.compile(r"[$#] ")
_EXIT_CODE = re.compile(r"#\s*exit code (\d+)$")


class Mark(Enum):
    """What a block needs, or is."""

    ROOT = "root"
    NETWORK = "network"
    SLOW = "slow"
    NUMBERS_VARY = "numbers vary"


@dataclass(frozen=True, slots=True)
class Command:
    """One command: `text` as bash takes it, and the lines that the page shows below it."""

    line: int
    text: str
    shown: tuple[str, ...] = ()

    @property
    def in_background(self) -> bool:
        return self.text.rstrip().endswith("&") and not self.text.rstrip().endswith("&&")

    @property
    def exit_code(self) -> int:
        found = _EXIT_CODE.search(self.text)
        return int(found[1]) if found else 0


@dataclass(frozen=True, slots=True)
class Block:
    """A fence. `commands` are those of a console block; `code` is what another language has to run."""

    line: int
    language: str
    marks: frozenset[Mark]
    commands: tuple[Command, ...] = ()
    code: str = ""


class PageError(Exception):
    """A page that the runner does not understand."""


def read_page(path: Path) -> list[Block]:
    """The blocks that can be run."""
    return [block for block in parse_page(path.read_text()) if block.language in ("console", "python")]


def parse_page(text: str) -> Iterator[Block]:
    """All fences of a page."""
    lines = text.splitlines()
    marks: frozenset[Mark] = frozenset()
    opened: int | None = None
    for number, line in enumerate(lines, start=1):
        fence = _FENCE.fullmatch(line)
        if opened is None and fence:
            opened, language, indent = number, fence[2], len(fence[1])
        elif opened is not None and line.strip() == "```":
            content = [row[indent:] for row in lines[opened : number - 1]]
            commands = tuple(_commands(content, opened + 1)) if language == "console" else ()
            yield Block(opened, language, marks, commands, "\n".join(content))
            opened, marks = None, frozenset()
        elif opened is None:
            found = _MARKS.fullmatch(line.strip())
            if found:
                marks = _marks(found[1], number)
            elif line.strip() and marks:
                raise PageError(f"line {number}: a mark that is above no block")
    if opened is not None:
        raise PageError(f"line {opened}: a block that is not closed")


def _marks(text: str, line: int) -> frozenset[Mark]:
    try:
        return frozenset(Mark(word.strip()) for word in text.split(","))
    except ValueError as error:
        raise PageError(f"line {line}: {error}") from None


def _commands(lines: Sequence[str], first: int) -> Iterator[Command]:
    text: list[str] = []
    shown: list[str] = []
    begun = first
    for number, line in enumerate(lines, start=first):
        if text and text[-1].endswith("\\") and not shown:
            text.append(line)
        elif _PROMPT.match(line):
            if text:
                yield Command(begun, "\n".join(text), tuple(shown))
            text, shown, begun = [line[2:]], [], number
        elif text:
            shown.append(line.rstrip())
        else:
            raise PageError(f"line {number}: a console block begins with a command")
    if text:
        yield Command(begun, "\n".join(text), tuple(shown))
