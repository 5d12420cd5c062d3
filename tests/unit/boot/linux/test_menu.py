from __future__ import annotations

from dataclasses import replace

import pytest

from bootpath.boot.linux.menu import bootable, choose_entry, concatenate
from bootpath.core.errors import BootError
from bootpath.formats.entries.entry import BootEntry, EntryKind
from bootpath.formats.systemdboot.loaderconf import LoaderConf
from bootpath.fs.readers.files import Files
from bootpath.image.contents.nodes import Location
from bootpath.image.entries.files import FilePart
from bootpath.image.entries.menu import BootMenu, EntryFiles, EntrySource, Excluded, FoundEntry, VolumeRole
from bootpath.image.entries.reasons import EntryReason
from bootpath.image.entries.rules import MenuRules


def found(name: str) -> FoundEntry:
    source = EntrySource(VolumeRole.ROOT, Location("2"), path=f"/loader/entries/{name}.conf")
    entry = BootEntry(EntryKind.TYPE_1, name, linux="/k")
    files: Files = None  # type: ignore[assignment]  # nothing is read
    return FoundEntry(entry, source, EntryFiles(FilePart("/k", size_bytes=1)), None, files)


def test_the_first_entry_or_the_one_that_is_named() -> None:
    menu = BootMenu("disk", (found("b"), found("a")))
    assert choose_entry(menu, None).found.entry.id == "b"
    assert choose_entry(menu, "a").found.entry.id == "a"
    with pytest.raises(BootError, match=r"there is no entry 'c'; the entries are b, a"):
        choose_entry(menu, "c")


def test_the_default_is_what_the_loader_is_told() -> None:
    def on_the_esp(name: str) -> FoundEntry:
        one = found(name)
        return replace(
            one, entry=replace(one.entry, loader_id=f"{name}.conf"), source=replace(one.source, role=VolumeRole.ESP)
        )

    rules = MenuRules(LoaderConf(default="a*"))
    menu = BootMenu("disk", (on_the_esp("b"), on_the_esp("a")), rules=rules)
    assert choose_entry(menu, None).found.entry.id == "a"
    assert choose_entry(concatenate(BootMenu("disk", ()), menu), None).found.entry.id == "a"
    assert choose_entry(menu, "B.conf").found.entry.id == "b"


def test_an_excluded_entry_is_refused_with_its_reason() -> None:
    out = found("a")
    menu = BootMenu("disk", (), (Excluded(out.source, EntryReason.KERNEL_EMPTY("/k"), out.entry),))
    with pytest.raises(BootError, match="the entry 'a' is excluded: the kernel /k is empty"):
        choose_entry(menu, "a")
    with pytest.raises(BootError, match=r"there is no boot entry; /loader/entries/a\.conf: the kernel /k is empty"):
        choose_entry(menu, None)


def test_only_what_may_be_signed_is_bootable_where_nothing_unverified_may_run() -> None:
    menu = BootMenu("disk", (found("b"), found("a")))
    assert bootable(menu) == menu
    strict = bootable(menu, strict=True)
    assert (strict.entries, len(strict.excluded)) == ((), 2)
