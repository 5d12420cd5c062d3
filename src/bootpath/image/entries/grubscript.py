"""Whether the files of a grub.cfg's entry are on the volume that it was found on.

Source: GRUB manual 2.06, "search". The script runs where the medium is, so what it looks for is found there, if it is
there: of several disks that have it, GRUB takes the first. Who reads one disk can only say so (`search_warnings`).
"""

from __future__ import annotations

from collections.abc import Iterator

from bootpath.formats.entries.grubmenu import GrubEntry, GrubSearch, SearchKind
from bootpath.image.entries.bootvolumes import BootVolume


def undecided(entry: GrubEntry, volume: BootVolume) -> str:
    """What only a run would decide of an entry, "" when nothing is. Raises Error."""
    if entry.undecided or entry.search is None or _finds(entry.search, volume):
        return entry.undecided
    return f"search looks for {entry.search}, which this volume does not have"


def search_warnings(entry: GrubEntry) -> Iterator[str]:
    """What should be known of an entry that is decided."""
    if entry.search is not None:
        yield f"GRUB finds it by {entry.search}, and would take another disk that has it, too"


def _finds(search: GrubSearch, volume: BootVolume) -> bool:
    if search.kind is SearchKind.FILE:
        return volume.files.exists(search.value)
    superblock = volume.superblock
    if superblock is None:
        return False
    return search.value == (superblock.label if search.kind is SearchKind.LABEL else superblock.uuid)
