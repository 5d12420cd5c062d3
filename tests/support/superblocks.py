"""Devices with a known superblock, and ways to damage it that keep its checksum right."""

from __future__ import annotations

import gzip
import hashlib
import struct
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from zlib import crc32

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.formats.crc32c import crc32c, crc32c_update

GOLDEN = Path(__file__).parents[1] / "golden" / "superblocks"
NAMES = tuple(sorted(path.name.removesuffix(".img.gz") for path in GOLDEN.glob("*.img.gz")))


def blkid_says(name: str) -> dict[str, str]:
    """What blkid said of the whole image, and its SIZE in bytes."""
    lines = (GOLDEN / f"{name}.blkid").read_text().splitlines()
    return dict(line.replace("\\ ", " ").split("=", 1) for line in lines)


def head(name: str) -> bytearray:
    """The beginning of the image, to be changed at will."""
    return bytearray(_unpacked(name))


@cache
def _unpacked(name: str) -> bytes:
    return gzip.decompress((GOLDEN / f"{name}.img.gz").read_bytes())


def device(name: str, image: bytes | bytearray | None = None) -> MemoryDevice:
    """The image in its full size, which costs only the memory of its beginning."""
    content = head(name) if image is None else image
    result = MemoryDevice(-(-int(blkid_says(name)["SIZE"]) // 512) * 512)
    result.write(0, content)
    return result


def _put(image: bytearray, offset: int, value: bytes) -> None:
    image[offset : offset + len(value)] = value


def seal_ext(image: bytearray) -> None:
    _put(image, 1024 + 1020, struct.pack("<I", crc32c_update(0xFFFFFFFF, image[1024:2044])))


def seal_erofs(image: bytearray) -> None:
    _put(image, 1028, bytes(4))
    _put(image, 1028, struct.pack("<I", crc32c_update(0xFFFFFFFF, image[1024:4096])))


def seal_xfs(image: bytearray) -> None:
    sector = struct.unpack_from(">H", image, 102)[0]
    _put(image, 224, bytes(4))
    _put(image, 224, struct.pack("<I", crc32c(image[:sector])))


def seal_btrfs(image: bytearray) -> None:
    _put(image, 65536, struct.pack("<I", crc32c(image[65536 + 32 : 65536 + 4096])))


def seal_exfat(image: bytearray) -> None:
    total = 0
    for index, byte in enumerate(image[: 11 * 512]):
        if index not in (106, 107, 112):
            total = ((total >> 1 | total << 31) + byte) & 0xFFFFFFFF
    _put(image, 11 * 512, struct.pack("<I", total) * 128)


def seal_luks2(image: bytearray, place: int = 0) -> None:
    _put(image, place + 448, bytes(64))
    _put(image, place + 448, hashlib.sha256(image[place : place + 16384]).digest())


def seal_ubifs(image: bytearray) -> None:
    _put(image, 4, struct.pack("<I", crc32(image[8:4096]) ^ 0xFFFFFFFF))


SEALS: Mapping[str, Callable[[bytearray], None]] = {
    "ext4": seal_ext,
    "erofs": seal_erofs,
    "xfs": seal_xfs,
    "btrfs-crc32c": seal_btrfs,
    "exfat": seal_exfat,
    "luks2": seal_luks2,
    "ubifs": seal_ubifs,
}
"""For each image whose superblock has a checksum that can be made here: how."""
