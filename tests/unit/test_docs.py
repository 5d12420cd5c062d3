"""What the documents say is true: the help's examples parse, pages are current, files that are named exist."""

from __future__ import annotations

import argparse
import importlib.util
import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest

from bootpath.cli.boot.options import MACHINE, SIMULATE, given_options
from bootpath.cli.main import build_parser
from bootpath.cli.renamed import check_spelling
from tests.docs.page import Mark, read_page
from tests.support.tree import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\((?!https?:)([^)#]+)\)")


def commands() -> list[str]:
    """Those of ``--help``, and those of the pages that only `make test-full` runs; tests/docs runs the others."""
    helps = [parser.epilog or "" for parser in leaves(build_parser())]
    found = [line.strip() for text in helps for line in text.splitlines() if line.startswith("  bootpath ")]
    blocks = [block for page in PAGES for block in read_page(page) if Mark.SLOW in block.marks]
    found += [command.text for block in blocks for command in block.commands if command.text.startswith("bootpath ")]
    return sorted({re.split(r"\s{3,}", line)[0].strip() for line in found})


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from leaves(child)


@pytest.mark.parametrize("command", commands())
def test_documented_commands_parse(command: str) -> None:
    words = list(takewhile(lambda word: word not in ("|", ">", "&&"), shlex.split(command)[1:]))
    check_spelling(words)
    options = build_parser().parse_args(words)
    if options.command in ("simulate", "boot"):
        modes = {SIMULATE} if options.command == "simulate" else MACHINE
        assert all(option.modes & modes for option in given_options(options)), "an option of the other command"


def test_there_are_documented_commands() -> None:
    assert len(commands()) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_reference_is_current() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text() == module.page(), "run make docs"
    assert module.LIMITS_PAGE.read_text() == module.limits_page(), "run make docs"
