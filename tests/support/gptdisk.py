"""Small disks with a partition table, and ways to damage them that keep their checksums right."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID
from zlib import crc32

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.formats.partitions.gpt import Gpt
from bootpath.formats.partitions.gptheader import BIOS_BOOT, EFI_SYSTEM, LINUX_FS, Partition
from bootpath.formats.partitions.gptwrite import new_gpt, pack_gpt

DISK_GUID = UUID("5a0c3b5e-90a1-4b1f-8c4b-0123456789ab")
DISK_BYTES = {512: 256 * 512, 4096: 64 * 4096}

# Offset and struct code of every header field (UEFI 2.10 §5.3.2).
HEADER_FIELDS = {
    "signature": (0, "8s"),
    "revision": (8, "I"),
    "header_bytes": (12, "I"),
    "reserved": (20, "I"),
    "my_lba": (24, "Q"),
    "alternate_lba": (32, "Q"),
    "first_usable_lba": (40, "Q"),
    "last_usable_lba": (48, "Q"),
    "entries_lba": (72, "Q"),
    "entry_count": (80, "I"),
    "entry_bytes": (84, "I"),
    "array_crc": (88, "I"),
}


def sample_partitions(block_bytes: int = 512) -> tuple[Partition, ...]:
    """Two neighbours and a third behind a hole in the numbers."""
    first = 34 if block_bytes == 512 else 6
    guid = UUID("11111111-2222-4333-8444-555555555500")
    return (
        Partition(1, BIOS_BOOT, UUID(int=guid.int + 1), first, first + 3, 0, "BIOS", block_bytes),
        Partition(2, EFI_SYSTEM, UUID(int=guid.int + 2), first + 4, first + 11, 0, "EFI", block_bytes),
        Partition(5, LINUX_FS, UUID(int=guid.int + 5), first + 20, first + 39, 1 << 60, "REDOX ❄", block_bytes),
    )


def sample_gpt(block_bytes: int = 512, partitions: Iterable[Partition] | None = None) -> Gpt:
    chosen = sample_partitions(block_bytes) if partitions is None else partitions
    return new_gpt(DISK_BYTES[block_bytes], DISK_GUID, chosen, block_bytes)


def apply(image: bytearray, writes: Iterable[tuple[int, bytes]]) -> None:
    for offset, data in writes:
        assert offset + len(data) <= len(image)
        image[offset : offset + len(data)] = data


def gpt_image(gpt: Gpt | None = None) -> bytearray:
    gpt = sample_gpt() if gpt is None else gpt
    image = bytearray(gpt.size_bytes)
    apply(image, pack_gpt(gpt))
    return image


def as_device(image: bytearray | bytes, block_bytes: int = 512) -> MemoryDevice:
    return MemoryDevice(bytes(image), block_bytes=block_bytes)


def get_field(image: bytearray, lba: int, name: str, block_bytes: int = 512) -> int:
    offset, code = HEADER_FIELDS[name]
    value: int = struct.unpack_from(f"<{code}", image, lba * block_bytes + offset)[0]
    return value


def set_fields(image: bytearray, lba: int, block_bytes: int = 512, **fields: int | bytes) -> None:
    """Change header fields and make the header's checksum right again."""
    start = lba * block_bytes
    for name, value in fields.items():
        offset, code = HEADER_FIELDS[name]
        struct.pack_into(f"<{code}", image, start + offset, value)
    length = min(struct.unpack_from("<I", image, start + 12)[0], block_bytes)
    struct.pack_into("<I", image, start + 16, 0)
    struct.pack_into("<I", image, start + 16, crc32(image[start : start + length]))


def set_entry(image: bytearray, partition: Partition) -> None:
    """Write one entry into both copies as it is, checked by nobody, and make all checksums right again."""
    # pack_gpt would refuse an overlap or a bad range: fill the entry by hand.
    name = partition.name.encode("utf-16-le", "surrogatepass").ljust(72, b"\0")
    raw = struct.pack(
        "<16s16sQQQ72s",
        partition.type_guid.bytes_le,
        partition.guid.bytes_le,
        partition.first_lba,
        partition.last_lba,
        partition.flags,
        name,
    )
    block_bytes = partition.block_bytes
    for lba in (1, len(image) // block_bytes - 1):
        array = get_field(image, lba, "entries_lba", block_bytes) * block_bytes
        count = get_field(image, lba, "entry_count", block_bytes)
        size = get_field(image, lba, "entry_bytes", block_bytes)
        start = array + (partition.number - 1) * size
        image[start : start + 128] = raw
        set_fields(image, lba, block_bytes, array_crc=crc32(image[array : array + count * size]))


def moved(partition: Partition, first_lba: int, last_lba: int) -> Partition:
    return replace(partition, first_lba=first_lba, last_lba=last_lba)
