from __future__ import annotations

from bootpath.formats.entries.menufiles import MENU_FILES
from bootpath.formats.entries.paths import menu_path


def test_each_is_looked_for_once_and_has_a_path() -> None:
    paths = [each.path for each in MENU_FILES]
    assert len(set(paths)) == len(paths)
    assert all(path.startswith("/") and path == menu_path(path, "/") for path in paths)


def test_what_each_loader_finds() -> None:
    paths = [each.path for each in MENU_FILES if not each.any_prefix]
    # U-Boot's own search, in its order; then what Infix gives to sysboot; then syslinux's.
    assert paths[:2] == ["/extlinux/extlinux.conf", "/boot/extlinux/extlinux.conf"]
    assert paths[2] == "/boot/syslinux/syslinux.conf"
    assert paths[3:] == [
        f"{directory}/{name}"
        for directory in ("/boot/syslinux", "/syslinux", "")
        for name in ("extlinux.conf", "syslinux.cfg")
    ]
