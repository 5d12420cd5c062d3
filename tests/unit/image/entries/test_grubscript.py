"""What a grub.cfg searches, compared with the volume that it is on."""

from __future__ import annotations

from bootpath.formats.entries.grubmenu import GrubEntry, GrubSearch, SearchKind
from bootpath.formats.superblocks.registry import probe_superblocks
from bootpath.fs.readers.iso9660.tree import open_iso9660
from bootpath.image.contents.nodes import Location
from bootpath.image.entries.bootvolumes import BootVolume
from bootpath.image.entries.grubscript import search_warnings, undecided
from bootpath.image.entries.menu import EntrySource, VolumeRole
from tests.support.isofiles import device, directory, disc, record

DISK = device(disc(directory(24, record(b"FILE", 25, 4)), b"text"))
MEDIUM = BootVolume(EntrySource(VolumeRole.MEDIUM, Location("")), open_iso9660(DISK), None, probe_superblocks(DISK)[0])


def entry(kind: SearchKind, value: str) -> GrubEntry:
    return GrubEntry("title", search=GrubSearch(kind, value))


def test_what_is_here() -> None:
    for kind, value in (
        (SearchKind.FILE, "/file"),
        (SearchKind.LABEL, "DISC"),
        (SearchKind.UUID, "2023-11-14-22-13-20-00"),
    ):
        assert undecided(entry(kind, value), MEDIUM) == ""
        (warning,) = search_warnings(entry(kind, value))
        assert "would take another disk that has it, too" in warning


def test_what_is_not() -> None:
    for kind in SearchKind:
        assert "which this volume does not have" in undecided(entry(kind, "/other"), MEDIUM)
    unknown = BootVolume(MEDIUM.source, MEDIUM.files, None)
    assert undecided(entry(SearchKind.LABEL, "DISC"), unknown)


def test_without_a_search() -> None:
    assert undecided(GrubEntry("title", undecided="why"), MEDIUM) == "why"
    assert list(search_warnings(GrubEntry("title"))) == []
