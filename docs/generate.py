"""Write docs/reference/cli.md from the parser: ``python docs/generate.py`` (or ``make docs``)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bootpath.cli import lived
from bootpath.cli.glossary import OPTIONS
from bootpath.cli.main import build_parser

PAGE = Path(__file__).parent / "reference/cli.md"


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


if __name__ == "__main__":
    PAGE.write_text(page())
