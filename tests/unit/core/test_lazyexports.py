"""Names that are imported when they are asked for."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.support.tree import ROOT

INIT = """
from bootpath.core.lazyexports import lazy_exports
__getattr__, __dir__ = lazy_exports(__name__, __file__)
"""
STUB = """
from lazyhouse.room import chair as chair
from lazyhouse.room import table as table
from lazyhouse.other import lamp as lamp
"""


def test_a_room_is_entered_when_something_in_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "lazyhouse"
    package.mkdir()
    (package / "__init__.py").write_text(INIT)
    (package / "__init__.pyi").write_text(STUB)
    (package / "room.py").write_text("table, chair = object(), object()\n")
    (package / "other.py").write_text("raise AssertionError('nobody asked')\n")
    monkeypatch.syspath_prepend(tmp_path)
    import lazyhouse  # type: ignore[import-not-found]

    assert {"table", "chair", "lamp"} <= set(dir(lazyhouse))
    assert "lazyhouse.room" not in sys.modules
    assert lazyhouse.table is lazyhouse.table
    assert "table" in vars(lazyhouse)
    assert "lazyhouse.other" not in sys.modules
    with pytest.raises(AttributeError, match="'lazyhouse' has no attribute 'window'"):
        _ = lazyhouse.window


def test_a_private_module_is_found_where_there_are_no_stubs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "guesthouse"
    package.mkdir()
    (package / "__init__.py").write_text(INIT)
    (package / "_native.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    from guesthouse import _native  # type: ignore[import-not-found]

    assert _native.__name__ == "guesthouse._native"


@pytest.mark.parametrize(
    "name", ["", "core", "formats", "block", "fs", "image", "serve", "vm", "boot"], ids=lambda name: name or "bootpath"
)
def test_a_face_has_at_most_fifteen_names_and_all_of_them_exist(name: str) -> None:
    package = import_module(f"bootpath.{name}".rstrip("."))
    names = package.__all__
    assert 0 < len(names) <= 15
    assert set(names) <= set(dir(package))
    assert all(getattr(package, each) is not None for each in names)
    assert not hasattr(package, "no_such_name")


def test_the_package_itself_imports_from_rooms() -> None:
    """A face is for users: what imports from one waits for `re`, and a guest has no stubs to read."""
    faces = re.compile(
        r"^\s*from bootpath(\.(core|formats|block|fs|image|serve|vm|boot))? import (?!__version__)(\w+)", re.M
    )
    sources = (ROOT / "src/bootpath").rglob("*.py")
    found = {(path.name, match[0]) for path in sources for match in faces.finditer(path.read_text())}
    assert {each for each in found if not each[1].endswith(" _native")} == set()
