from __future__ import annotations

from collections.abc import Mapping

from bootpath.image.contents.nodes import Location
from bootpath.image.entries.bootvolumes import BootVolume
from bootpath.image.entries.find import menu_of
from bootpath.image.entries.menu import BootMenu, EntrySource, VolumeRole
from tests.support.bootfiles import memory_files

ENTRIES = "/loader/entries"


def menu(*volumes: tuple[VolumeRole, str, Mapping[str, bytes]]) -> BootMenu:
    made = [
        BootVolume(EntrySource(role, Location(place)), memory_files({"/k": b"kernel", **content}), None)
        for role, place, content in volumes
    ]
    return menu_of("disk", made, roles=tuple(VolumeRole))


def test_a_name_that_only_counters_tell_apart_is_said() -> None:
    """The entry without counters, which is good, comes before one on trial."""
    conf = b"title A\nlinux /k\n"
    found = menu(
        (VolumeRole.ESP, "1", {f"{ENTRIES}/a.conf": conf, f"{ENTRIES}/a+3.conf": conf, f"{ENTRIES}/b.conf": conf}),
        (VolumeRole.ROOT, "2", {f"{ENTRIES}/a.conf": conf}),
    )
    assert [
        (each.source.location.path, each.source.path.rpartition("/")[2], each.warnings) for each in found.entries
    ] == [
        ("1", "b.conf", ()),
        ("1", "a.conf", ()),
        ("2", "a.conf", ()),
        ("1", "a+3.conf", (f"{ENTRIES}/a.conf has the same name, a.conf: it comes first, and is meant by it",)),
    ]


def test_keys_that_are_not_known_are_said_once() -> None:
    conf = b"linux /k\ngrub_users x\n"
    found = menu(
        (VolumeRole.XBOOTLDR, "1", {f"{ENTRIES}/a.conf": conf, f"{ENTRIES}/b.conf": conf}),
        (VolumeRole.ESP, "2", {f"{ENTRIES}/c.conf": conf, "/extlinux/extlinux.conf": b"ui x\nlabel l\nkernel /k\n"}),
    )
    assert found.warnings == (
        "keys of boot entries that are not known are passed over: grub_users (in 3 files)",
        "keywords of menus that are not known are passed over: ui",
    )
