"""Names that are imported when they are asked for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bootpath.core.lazyexports import lazy_exports

INIT = """
from bootpath.core.lazyexports import lazy_exports
__getattr__, __dir__ = lazy_exports(__name__, {"room": "table chair", "other": "lamp"})
"""


def test_a_room_is_entered_when_something_in_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "lazyhouse"
    package.mkdir()
    (package / "__init__.py").write_text(INIT)
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


def test_names_that_are_there_already_are_left_alone() -> None:
    get, names = lazy_exports("bootpath.core", {"extents": "Extent"})
    from bootpath.core import Extent

    assert get("Extent") is Extent
    assert "Extent" in names()
