"""Each promise of the page on security names the tests that hold it."""

from __future__ import annotations

import ast
import re

import pytest

from tests.support.tree import ROOT

PAGE = (ROOT / "docs/security.md").read_text()
PROMISES = [row.strip("|").split("|") for row in PAGE.split("## Promises")[1].splitlines() if row.startswith("| ")]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_there_are_promises_against_everybody() -> None:
    assert len(PROMISES) > 20
    for party in ("an image", "an NBD client", "an NBD server", "a guest", "a local user"):
        assert f"### Against {party}" in PAGE


@pytest.mark.parametrize(("promise", "held_by"), [row for row in PROMISES if row[1].strip() not in ("held by", "---")])
def test_a_promise_is_held_by_tests(promise: str, held_by: str) -> None:
    named = TEST.findall(held_by)
    assert named, promise
    assert TEST.sub("", held_by).strip(" ,") == ""
    for path, name in named:
        functions = [
            node.name for node in ast.parse((ROOT / path).read_text()).body if isinstance(node, ast.FunctionDef)
        ]
        assert name in functions, f"{path}::{name}"
