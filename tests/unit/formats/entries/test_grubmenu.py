"""The values of a GRUB menu."""

from __future__ import annotations

from bootpath.formats.entries.grubmenu import GrubEntry, GrubSearch, SearchKind


def test_names() -> None:
    assert GrubEntry("title").name == "title"
    assert GrubEntry("title", "id", ("a", "b")).name == "a>b>title"


def test_a_search_is_shown_on_one_line() -> None:
    assert str(GrubSearch(SearchKind.LABEL, "A\nB")) == "the label 'A\\nB'"
    assert len(str(GrubSearch(SearchKind.FILE, "/x" * 9999))) < 100
