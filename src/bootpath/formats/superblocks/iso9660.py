"""ISO 9660, the file system of optical media and their images.

Source: ECMA-119 §8.4, Joliet; the layout is `formats.iso9660.descriptors`'. It has no UUID: like blkid(8), and so udev
and /dev/disk/by-uuid, we call it by the time it was last changed, else made, to hundredths of a second.

The label is the primary descriptor's, 32 characters of a small set. Joliet has the first 15 of it as they were meant,
with lower case and beyond ASCII: where the two agree in this sense they are joined, else Joliet's counts, as in blkid.

A medium that holds UDF beside it (a bridge) is UDF, which is what systems that know both read.
"""

from __future__ import annotations

from dataclasses import dataclass

from bootpath.formats.iso9660.descriptors import DESCRIPTORS_OFFSET, VolumeDescriptors, read_descriptors
from bootpath.formats.region import Region
from bootpath.formats.superblocks.udf import has_udf
from bootpath.formats.superblocks.value import Superblock

_KIND = "iso9660"
_JOLIET = "Joliet Extension"


@dataclass(frozen=True, slots=True, kw_only=True)
class Iso9660Superblock(Superblock):
    """`uuid` is a time, as blkid writes it; `catalog_sector` says where El Torito's boot catalog is."""

    system: str
    preparer: str
    application: str
    joliet: bool
    catalog_sector: int | None


def probe_iso9660(region: Region) -> Iso9660Superblock | None:
    """The file system, None when there is none. Raises FormatError when it is damaged, DeviceError."""
    found = read_descriptors(region)
    if found is None or has_udf(region):
        return None
    primary = found.primary
    return Iso9660Superblock(
        kind=_KIND,
        offset=DESCRIPTORS_OFFSET,
        uuid=_uuid(primary.modified or primary.created),
        label=_label(found),
        block_bytes=primary.block_bytes,
        size_bytes=found.size_bytes,
        read_only=True,
        version="" if found.joliet is None else _JOLIET,
        system=primary.system,
        preparer=primary.preparer,
        application=primary.application,
        joliet=found.joliet is not None,
        catalog_sector=found.catalog_sector,
    )


def _uuid(time: str) -> str | None:
    """yyyy-mm-dd-hh-mm-ss-cc."""
    return "-".join((time[:4], *(time[at : at + 2] for at in range(4, 16, 2)))) if time else None


def _label(found: VolumeDescriptors) -> str:
    plain = found.primary.volume
    if found.joliet is None or not found.joliet.volume:
        return plain
    wide = found.joliet.volume
    # "_" stands for what the primary descriptor's character set does not have.
    alike = all(
        "_" in (one, other) or one == other or (one.isascii() and one.upper() == other)
        for one, other in zip(wide, plain, strict=False)
    )
    return wide + plain[len(wide) :] if alike and len(wide) <= len(plain) else wide
