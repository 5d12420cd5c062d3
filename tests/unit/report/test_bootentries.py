from __future__ import annotations

from bootpath.formats.cmdline.address import RootStyle
from bootpath.image.contents.nodes import Location
from bootpath.image.entries.find import find_entries
from bootpath.image.entries.menu import BootMenu, EntrySource, Excluded, FoundEntry, VolumeRole
from bootpath.image.entries.read import read_volume
from bootpath.image.entries.reasons import EntryReason
from bootpath.report.bootentries import entries_json, render_entries
from tests.support.gptdisk import as_device, gpt_image
from tests.unit.image.entries.test_read import conf, place

STYLE = RootStyle()


def menu(text: str, name: str = "a.conf", excluded: tuple[Excluded, ...] = ()) -> BootMenu:
    found = tuple(each for each in read_volume(place(conf(text, name))) if isinstance(each, FoundEntry))
    return BootMenu("disk.img", found, excluded)


def test_an_entry() -> None:
    text = render_entries(menu("title A\nversion 1\nsort-key x\nlinux /k\ninitrd /i\noptions quiet\n"), STYLE)
    assert text.splitlines() == [
        "disk.img: 1 boot entry",
        " 1  A  (type 1)",
        "    is       version 1, sort key x",
        "    from     esp 2, memory: /loader/entries/a.conf",
        "    kernel   /k  6 bytes",
        "    initrd   /i  6 bytes",
        "    options  quiet",
        "Verdict: A would be booted",
    ]


def test_a_bad_entry_is_still_one() -> None:
    text = render_entries(menu("title A\nlinux /k\n", "a+0-3.conf"), STYLE)
    assert "(type 1, bad: 0 left, 3 done)" in text
    assert text.endswith("A would be booted, although its tries are used up: nothing better is there")


def test_nothing_and_why() -> None:
    where = EntrySource(VolumeRole.ROOT, Location("vg0/root"), ("lvm vg0/root",))
    shown = BootMenu("disk.img", (), (Excluded(where, EntryReason.UNREADABLE("it is\x1b[31m damaged")),), ("warned",))
    assert render_entries(shown, STYLE).splitlines() == [
        "disk.img: 0 boot entries",
        "Excluded",
        "  root vg0/root: it is\\x1b[31m damaged",
        "Warning: warned",
        "Verdict: nothing to boot",
    ]
    assert entries_json(shown, STYLE)["boots"] is False


def test_a_disk_with_nothing_on_it() -> None:
    found = find_entries(as_device(gpt_image()), roles=tuple(VolumeRole))
    assert not found.boots
    assert [each.source.role for each in found.excluded] == [VolumeRole.ESP, VolumeRole.ROOT]


def test_titles_that_are_alike_get_what_tells_them_apart() -> None:
    entries = {
        "/loader/entries/a.conf": b"title A\nversion 1\nlinux /k\n",
        "/loader/entries/b.conf": b"title A\nversion 2\nlinux /k\n",
        "/loader/entries/c.conf": b"title A\nversion 2\nlinux /k\n",
        "/loader/entries/d.conf": b"title D\nversion 2\nlinux /k\n",
        "/k": b"kernel",
    }
    here, there = place(entries), place(entries)
    found = [each for each in (*read_volume(here), *read_volume(there)) if isinstance(each, FoundEntry)]
    lines = render_entries(BootMenu("disk.img", tuple(found[:4])), STYLE).splitlines()
    assert [line[4:] for line in lines if line[:2].strip().isdigit()] == [
        "A (1)  (type 1)",
        "A (2) (b)  (type 1)",
        "A (2) (c)  (type 1)",
        "D  (type 1)",
    ]
    assert lines[-1] == "Verdict: A (1) would be booted"
