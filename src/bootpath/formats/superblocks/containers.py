"""Devices that hold something else than one file system: LVM2's and UBI's members, and the hashes of dm-verity.

Only the signature with its checksum is looked at; `formats.lvm2`, `formats.ubi` and `formats.verity` read the rest.
"""

from __future__ import annotations

from bootpath.formats.lvm2.label import SECTOR_BYTES, read_label
from bootpath.formats.region import Region
from bootpath.formats.superblocks.value import Checksum, Superblock
from bootpath.formats.ubi.geometry import find_ec_header, seems_damaged_ubi, seems_ubi
from bootpath.formats.verity.tree import SUPERBLOCK_BYTES, area_end, parse_verity_superblock, probe_verity


def probe_lvm_member(region: Region) -> Superblock | None:
    """A physical volume; `uuid` is its own, dashed as LVM does. Raises FormatError, DeviceError."""
    label = read_label(region)
    if label is None:
        return None
    return Superblock(
        kind="LVM2_member",
        offset=label.sector * SECTOR_BYTES,
        uuid=label.uuid,
        label="",
        block_bytes=SECTOR_BYTES,
        size_bytes=label.size_bytes,
        checksum=Checksum.VALID,
        version="LVM2 001",
    )


def probe_ubi_image(region: Region) -> Superblock | None:
    """An image of UBI, by its first sound eraseblock; `uuid`: the image sequence number. Raises FormatError,
    DeviceError."""
    return _ubi_image(region) if seems_ubi(region) else None


def probe_damaged_ubi_image(region: Region) -> Superblock | None:
    """The same, of one whose first eraseblocks are something else. Raises FormatError, DeviceError."""
    return _ubi_image(region) if seems_damaged_ubi(region) else None


def _ubi_image(region: Region) -> Superblock:
    header = find_ec_header(region, None)
    return Superblock(
        kind="ubi",
        offset=0,
        uuid=str(header.image_seq),
        label="",
        block_bytes=SECTOR_BYTES,
        size_bytes=0,
        checksum=Checksum.VALID,
        version="1",
    )


def probe_verity_hashes(region: Region) -> Superblock | None:
    """A hash area that begins with a superblock. Raises FormatError, DeviceError."""
    data = region.peek(0, SUPERBLOCK_BYTES)
    if not probe_verity(data):
        return None
    superblock = parse_verity_superblock(data)
    parameters = superblock.parameters
    return Superblock(
        kind="DM_verity_hash",
        offset=0,
        uuid=str(superblock.uuid),
        label="",
        block_bytes=parameters.hash_block_size,
        size_bytes=area_end(parameters, 0, superblock=True),
        read_only=True,
        version="1",
    )
