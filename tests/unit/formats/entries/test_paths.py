from __future__ import annotations

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.entries.paths import entry_path, menu_path


@pytest.mark.parametrize(("text", "path"), [("/a/b", "/a/b"), ("a/b", "/a/b"), ("//a/./b/", "/a/b"), ("/ä b", "/ä b")])
def test_paths_are_from_the_root(text: str, path: str) -> None:
    assert entry_path(text) == path
    assert menu_path("/" + text, "/boot/extlinux") == path


@pytest.mark.parametrize(
    "text",
    ["", "/", ".", "..", "/../k", "/a/../k", "a\\b", "\\EFI\\k", "/a\0b", "/a\nb", "/" + "a" * 256, "/a" * 2048],
)
def test_paths_that_are_refused(text: str) -> None:
    with pytest.raises(FormatError, match="the path is"):
        entry_path(text)


@pytest.mark.parametrize(
    ("text", "path"),
    [("k", "/boot/extlinux/k"), ("../k", "/boot/k"), ("../../k", "/k"), ("/k", "/k"), ("../nixos/x", "/boot/nixos/x")],
)
def test_paths_of_a_menu_are_from_its_directory(text: str, path: str) -> None:
    assert menu_path(text, "/boot/extlinux") == path


@pytest.mark.parametrize("text", ["../../../k", "/../k", "/a/../../k", "..\\k", "../..", "/boot/.."])
def test_paths_of_a_menu_do_not_climb_out(text: str) -> None:
    with pytest.raises(FormatError, match="the path is"):
        menu_path(text, "/boot/extlinux")
