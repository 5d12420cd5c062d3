"""What the documents say is true: commands parse, pages are current, files that are named exist."""

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
from tests.support.tree import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
COMMAND = re.compile(r"^\$ (bootpath .*)$", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)\)")


def commands() -> list[str]:
    helps = [parser.epilog or "" for parser in leaves(build_parser())]
    found = [match for page in PAGES for match in COMMAND.findall(page.read_text())]
    found += [line.strip() for text in helps for line in text.splitlines() if line.startswith("  bootpath ")]
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


def test_the_readme_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.support.images import make_image

    make_image(tmp_path)
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    assert "ring" in capsys.readouterr().out
