"""Pages whose statements name the tests that hold them: each of these tests is there."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.support.tree import ROOT

PAGES = ("docs/reference/appendroot.md", "docs/reference/seed-device-mapper.md")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def functions_of(path: str) -> frozenset[str]:
    body = ast.parse((ROOT / path).read_text()).body
    return frozenset(node.name for node in body if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("page", PAGES)
def test_each_test_that_a_page_names_is_there(page: str) -> None:
    named = TEST.findall((ROOT / page).read_text())
    assert len(named) > 20
    assert [f"{path}::{name}" for path, name in named if name not in functions_of(path)] == []


def test_each_rule_of_appendroot_is_held_by_a_test() -> None:
    text = (ROOT / "docs/reference/appendroot.md").read_text()
    rules, tests = text.split("## Tests")
    numbers = [int(number) for number in re.findall(r"^([0-9]+)\. ", rules, re.MULTILINE)]
    held = {int(row[0]): row[1] for row in re.findall(r"^\| ([0-9]+) \| (.*) \|$", tests, re.MULTILINE)}
    assert numbers == list(range(1, len(numbers) + 1)) == list(held)
    assert all(TEST.search(row) and TEST.sub("", row).strip(" ,") == "" for row in held.values())


def test_each_statement_of_the_thread_has_a_state_and_what_works_has_a_test() -> None:
    rows = re.findall(r"^\| (.*) \|$", (ROOT / "docs/reference/seed-device-mapper.md").read_text(), re.MULTILINE)
    statements = [row.split(" | ") for row in rows if not row.startswith(("Statement |", "---"))]
    assert len(statements) >= 40
    for statement, answer, state, *shown in statements:
        assert answer
        assert state.rstrip(" |") in ("yes", "partly", "planned", "no"), statement
        tested = bool(shown and TEST.search(shown[0]))
        assert tested is (state in ("yes", "partly")), statement
        assert not shown or TEST.sub("", shown[0]).strip(" ,") == "", statement
