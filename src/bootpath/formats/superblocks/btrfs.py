"""btrfs: the first of its superblocks.

Source: btrfs documentation, "On-disk format", and Linux include/uapi/linux/btrfs_tree.h. Little endian, 4096 bytes at
byte 64 KiB::

      0 checksum, 32     32 file system UUID, 16   48 own place, u64 = 65536    56 flags, u64
     64 magic, 8 = "_BHRfS_M"       72 generation, u64     112 bytes of the file system, u64   120 bytes used, u64
    136 devices, u64   144 sector size, u32  148 node size, u32   172 compat  180 compat_ro  188 incompat, u64 each
    196 checksum type, u16 (0 crc32c, 1 xxhash64, 2 sha256, 3 blake2b-256)
    201 this device: number, u64   209 bytes, u64   267 UUID, 16            299 label, 256

The checksum covers bytes 32 to 4095. One file system may span devices: `size_bytes` is what it takes on this one.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from bootpath.formats.crc32c import crc32c
from bootpath.formats.region import Region
from bootpath.formats.superblocks.value import Checksum, Superblock, fault, power_of_two, text_field, uuid_field

BTRFS_OFFSET = 64 << 10
BTRFS_BYTES = 4096
BTRFS_MAGIC = b"_BHRfS_M"

_KIND = "btrfs"


@dataclass(frozen=True, slots=True, kw_only=True)
class BtrfsSuperblock(Superblock):
    """`uuid` is the file system's, `device_uuid` this device's; `total_bytes` is the whole file system on `devices`."""

    device_uuid: str | None
    device_number: int
    devices: int
    total_bytes: int
    used_bytes: int
    node_bytes: int
    checksum_type: str


def probe_btrfs(region: Region) -> BtrfsSuperblock | None:
    """The superblock at 64 KiB, None when it is not there. Raises FormatError when it is damaged, DeviceError."""
    data = region.peek(BTRFS_OFFSET, BTRFS_BYTES)
    if len(data) < BTRFS_BYTES or data[64:72] != BTRFS_MAGIC:
        return None
    (kind,) = struct.unpack_from("<H", data, 196)
    checksum_type, checksum = _check(kind, data)
    (place,) = struct.unpack_from("<Q", data, 48)
    if place != BTRFS_OFFSET:
        raise fault(_KIND, "the superblock's own offset is wrong", place, BTRFS_OFFSET)
    total_bytes, used_bytes = struct.unpack_from("<QQ", data, 112)
    devices, sector_bytes, node_bytes = struct.unpack_from("<QII", data, 136)
    power_of_two(_KIND, "the sector size", sector_bytes, 4096, 64 << 10)
    power_of_two(_KIND, "the node size", node_bytes, sector_bytes, 64 << 10)
    device_number, device_bytes = struct.unpack_from("<QQ", data, 201)
    if not 0 < device_bytes < 1 << 63:
        raise fault(_KIND, "the size of this device is out of range", device_bytes, "at least one, and less than 2^63")
    if devices == 0 or total_bytes < device_bytes:
        raise fault(
            _KIND,
            "the file system is smaller than this device",
            f"{total_bytes} bytes on {devices} devices",
            f"{device_bytes} here",
        )
    return BtrfsSuperblock(
        kind=_KIND,
        offset=BTRFS_OFFSET,
        uuid=uuid_field(data[32:48]),
        label=text_field(data[299:555]),
        block_bytes=sector_bytes,
        size_bytes=device_bytes,
        checksum=checksum,
        device_uuid=uuid_field(data[267:283]),
        device_number=device_number,
        devices=devices,
        total_bytes=total_bytes,
        used_bytes=used_bytes,
        node_bytes=node_bytes,
        checksum_type=checksum_type,
    )


def _check(kind: int, data: bytes) -> tuple[str, Checksum]:
    covered = data[32:]
    match kind:
        case 0:
            name, computed = "crc32c", crc32c(covered).to_bytes(4, "little")
        case 1:
            return "xxhash64", Checksum.UNCHECKED
        case 2:
            name, computed = "sha256", hashlib.sha256(covered).digest()
        case 3:
            name, computed = "blake2b", hashlib.blake2b(covered, digest_size=32).digest()
        case _:
            raise fault(_KIND, "the checksum type is unknown", kind, "0 to 3")
    found = data[: len(computed)]
    if found != computed:
        raise fault(_KIND, f"the checksum ({name}) does not match", found.hex(), computed.hex())
    return name, Checksum.VALID
