"""The page of the twenty traps: every trap names its tests, and those carry its number."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.support.tree import ROOT

PAGE = ROOT / "docs/explanation/live-disk-traps.md"
HEADING = re.compile(r"^## (\d+)\. .+$", re.MULTILINE)
TEST = re.compile(r"^- `(tests/\S+\.py)::(test_\w+)`$", re.MULTILINE)


def on_the_page() -> dict[int, set[tuple[str, str]]]:
    """The tests of each trap."""
    _, *parts = HEADING.split(PAGE.read_text())
    return {int(number): set(TEST.findall(text)) for number, text in zip(parts[::2], parts[1::2], strict=True)}


def marked() -> Iterator[tuple[int, tuple[str, str]]]:
    """(number, test) of every test with the marker."""
    for path in sorted(ROOT.glob("tests/unit/*/test_traps.py")):
        for node in ast.parse(path.read_text()).body:
            for decorator in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
                match = re.fullmatch(r"pytest\.mark\.trap\((\d+)\)", ast.unparse(decorator))
                if match is not None:
                    assert isinstance(node, ast.FunctionDef)
                    yield int(match[1]), (str(path.relative_to(ROOT)), node.name)


def test_the_page_has_twenty_traps_with_a_test_each() -> None:
    page = on_the_page()
    assert list(page) == list(range(1, 21))
    assert all(page.values())


def test_the_tests_that_the_page_names_are_those_with_the_marker() -> None:
    tests: dict[int, set[tuple[str, str]]] = {}
    for number, test in marked():
        tests.setdefault(number, set()).add(test)
    assert tests == on_the_page()
