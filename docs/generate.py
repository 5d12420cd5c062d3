"""Write docs/reference/cli.md from the parser, the table of docs/reference/limits.md, and that of
docs/reference/what-works-on-what.md, for which every command runs on every kind of image: ``make docs`` does.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

from bootpath.cli import lived
from bootpath.cli.glossary import OPTIONS
from bootpath.cli.main import build_parser
from bootpath.core.limits import Budgets, format_limit, limit_meanings

PAGE = Path(__file__).parent / "reference/cli.md"
LIMITS_PAGE = Path(__file__).parent / "reference/limits.md"
BEGIN, END = "<!-- limits: made by make docs -->\n", "<!-- end of limits -->\n"


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Every command that can be run, in the order of the parser."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield parser
    for group in groups:
        for child in group.choices.values():
            yield from leaves(child)


def page() -> str:
    """The whole page."""
    parts = ["# Command reference", "", "Made from the parser by `make docs`; `--help` says the same.", ""]
    for parser in (*leaves(build_parser()), lived.build_parser()):
        parser.formatter_class = partial(argparse.RawDescriptionHelpFormatter, width=100)
        parts += [f"## {parser.prog}", "", "```text", parser.format_help().rstrip(), "```", ""]
    parts += ["## One meaning for a word", "", "Options that several commands have mean the same in all of them.", ""]
    parts += ["| option | meaning |", "|---|---|"]
    parts += [f"| `{flag}` | {meaning} |" for flag, meaning in OPTIONS.items()]
    return "\n".join([*parts, ""])


def limits_page() -> str:
    """The page of limits with a row for each."""
    before, _, rest = LIMITS_PAGE.read_text().partition(BEGIN)
    rows = ["| limit | default | what it limits |", "|---|---|---|"]
    for name, value in asdict(Budgets()).items():
        rows.append(f"| `{name}` | {format_limit(name, value)} | {limit_meanings()[name]} |")
    return "".join((before, BEGIN, "\n", "\n".join(rows), "\n\n", END, rest.partition(END)[2]))


def write_what_works() -> None:
    """Run every command on every kind of image, and write down what works: under a minute."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.support import whatworks

    with tempfile.TemporaryDirectory() as folder:
        whatworks.PAGE.write_text(whatworks.page(whatworks.all_rows(Path(folder))))


if __name__ == "__main__":
    PAGE.write_text(page())
    LIMITS_PAGE.write_text(limits_page())
    write_what_works()
