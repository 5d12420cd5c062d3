"""How large a folder and a module may be, and that a public name has one meaning."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

from tests.support.tree import ROOT

PACKAGE = ROOT / "src/bootpath"
MOST_MODULES, MOST_LINES = 16, 400
MODULES = [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]


def test_a_folder_has_few_modules() -> None:
    folders: dict[Path, int] = defaultdict(int)
    for path in MODULES:
        folders[path.parent] += 1
    assert {str(folder.relative_to(ROOT)): count for folder, count in folders.items() if count > MOST_MODULES} == {}


def test_a_module_has_few_lines() -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_a_folder_says_what_lives_in_it() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_a_public_class_name_has_one_meaning() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path.relative_to(PACKAGE)))
    assert {name: found for name, found in homes.items() if len(found) > 1} == {}


def test_only_the_console_and_the_failures_print() -> None:
    """What prints takes `Printable` alone (see `core.printable`); a print elsewhere would go past it."""
    found = {
        path.relative_to(PACKAGE / "cli").as_posix()
        for path in (PACKAGE / "cli").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert found == {"console.py", "failures.py"}


def test_a_file_is_read_whole_by_one_function_that_has_a_limit() -> None:
    """But in a guest, whose files are the kernel's, and for what is part of this package."""
    unlimited = re.compile(r"(?<!files\(__name__\)\.joinpath\(name\))\.read_(bytes|text)\(\)")
    floors = [path for path in MODULES if path.relative_to(PACKAGE).parts[0] in ("cli", "image", "boot", "serve", "vm")]
    found = [str(path.relative_to(PACKAGE)) for path in floors if unlimited.search(path.read_text())]
    assert [name for name in found if not name.startswith("boot/guest/")] == []
