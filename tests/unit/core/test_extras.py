"""The names of what may not be installed are those of pyproject.toml."""

from __future__ import annotations

import ast
import re
import sys
import tomllib

import pytest

from bootpath.core.extras import EXTRAS, apt_install, pip_install
from tests.support.tree import ROOT

IMPORTED = {"pyelftools": "elftools", "qemu.qmp": "qemu"}
"""Where a library is imported under another name than it is installed."""


def test_extras_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    said = {
        extra: {IMPORTED.get(name, name) for name in (re.split(r"[<>=!~; ]", line)[0] for line in lines)}
        for extra, lines in project["optional-dependencies"].items()
        if extra != "dev"
    }
    assert {extra: set(modules) for extra, modules in EXTRAS.items()} == said


def test_every_library_is_a_must_or_of_an_extra() -> None:
    known = {"bootpath", "rich", "PIL", "shtab", *(module for modules in EXTRAS.values() for module in modules)}
    found = {
        name.split(".")[0]
        for path in (ROOT / "src/bootpath").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in imported(node)
    }
    assert found - sys.stdlib_module_names == known


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [each.name for each in node.names] if isinstance(node, ast.Import) else []


def test_hints() -> None:
    assert pip_install("signatures") == "pip install 'bootpath[signatures]'"
    assert apt_install("mkfs.erofs") == "apt install erofs-utils"
    assert apt_install("no-such-program") is None
    with pytest.raises(AssertionError):
        pip_install("no-such-extra")
