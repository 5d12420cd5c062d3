"""Images that are made to cost much: small files, each of which would take hours or gigabytes to be read naively."""

from __future__ import annotations

import struct
import subprocess
import zlib
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from bootpath.formats.partitions.gptheader import Partition
from bootpath.formats.partitions.gptwrite import new_gpt, pack_gpt
from tests.support.tools import tool

MIB = 1 << 20
LINUX = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
ESP = UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
ROOT_X86 = UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709")
ROOT_X86_VERITY = UUID("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5")
ROOT_X86_SIGNATURE = UUID("41092b05-9fc8-4523-994f-2def0408b176")


def many_partitions(path: Path, rows: Sequence[tuple[UUID, UUID, bytes]], *, sectors: int = 8) -> None:
    """A GPT with rows of (type, UUID, content), all of one size, numbered from 1."""
    first = 2 * MIB // 512
    partitions = [
        Partition(number, kind, guid, place, place + sectors - 1, 0, f"image_{number}")
        for number, (kind, guid, _) in enumerate(rows, start=1)
        if (place := first + (number - 1) * sectors)
    ]
    size = (first + len(rows) * sectors) * 512 + 2 * MIB
    with path.open("wb") as file:
        file.truncate(size)
        for offset, data in pack_gpt(new_gpt(size, UUID(int=1), partitions, entry_count=max(128, len(rows)))):
            file.seek(offset)
            file.write(data)
        for partition, (_, _, content) in zip(partitions, rows, strict=True):
            file.seek(partition.offset_bytes)
            file.write(content)


def ext4_with(path: Path, tree: Path, *, megabytes: int = 256, inodes: int = 120_000) -> None:
    """An ext4, by mke2fs, with a tree."""
    command = [
        tool("mke2fs"),
        "-q",
        "-t",
        "ext4",
        "-N",
        inodes,
        "-O",
        "^has_journal",
        "-d",
        tree,
        path,
        f"{megabytes}M",
    ]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


def fat_of_removed_names(path: Path, directories: int) -> None:
    """A disk whose EFI partition is a FAT32 in which directories of 16 MiB have nothing but removed
    names, and share all but their first cluster.

    `/loader/entries/e.conf` names a file in each of them.
    """
    sectors, shared, clusters, reserved = 64, 500, 66_000, 32
    fat_sectors = -(-(clusters + 2) * 4 // 512)
    size, base = sectors * 512, 2 * MIB
    head = bytearray(512)
    total = reserved + fat_sectors + clusters * sectors
    struct.pack_into("<HBHBHHBHHHII", head, 11, 512, sectors, reserved, 1, 0, 0, 0xF8, 0, 0, 0, 0, total)
    struct.pack_into("<IHHI", head, 36, fat_sectors, 0, 0, 2)
    head[:3], head[66], head[82:90] = b"\xeb\x58\x90", 0x29, b"FAT32   "
    head[510:] = b"\x55\xaa"
    end = 0x0FFFFFFF
    loader, entries, text, kernel, first_shared = 3, 4, 5, 6, 7
    first = first_shared + shared
    table = [end] * (first + directories)
    table[first_shared : first - 1] = range(first_shared + 1, first)
    table[first:] = [first_shared] * directories
    removed = b"\xe5" + bytes(31)
    conf = "title a\nlinux /k\n" + "".join(f"initrd /d{number}/x\n" for number in range(directories))
    long_name = b"\x41" + "e.conf".encode("utf-16-le")[:10] + b"\x0f\0"
    short = b"E~1     CON"
    checksum = 0
    for byte in short:
        checksum = ((checksum & 1) << 7) + (checksum >> 1) + byte & 0xFF
    long_name += bytes([checksum]) + b"f\0\0\0" + b"\xff" * 8 + b"\0\0" + b"\xff" * 4
    with path.open("wb") as file:
        disk_bytes = base + total * 512 + 2 * MIB
        file.truncate(disk_bytes)
        partition = Partition(1, ESP, UUID(int=2), base // 512, base // 512 + total - 1, 0, "esp")
        for offset, data in pack_gpt(new_gpt(disk_bytes, UUID(int=1), [partition])):
            file.seek(offset)
            file.write(data)

        def put(cluster: int, content: bytes) -> None:
            file.seek(base + (reserved + fat_sectors) * 512 + (cluster - 2) * size)
            file.write(content)

        file.seek(base)
        file.write(head)
        file.seek(base + reserved * 512)
        file.write(struct.pack(f"<{len(table)}I", *table))
        names = [(b"LOADER     ", 0x10, loader, 0), (b"K          ", 0x20, kernel, 2)]
        names += [(f"D{number}".encode().ljust(11), 0x10, first + number, 0) for number in range(directories)]
        put(2, b"".join(_fat_entry(*name) for name in names))
        put(loader, _fat_entry(b"ENTRIES    ", 0x10, entries, 0))
        put(entries, long_name + _fat_entry(short, 0x20, text, len(conf)))
        put(text, conf.encode())
        put(kernel, b"k\n")
        for cluster in range(first_shared, first + directories):
            put(cluster, removed * (size // 32))


def _fat_entry(name: bytes, attributes: int, cluster: int, size: int) -> bytes:
    return struct.pack("<11sB8xHHHHI", name, attributes, 0, 0, 0x21, cluster, size)


def erofs_in_one_extent(path: Path) -> None:
    """An erofs whose root directory has 11 MiB, all in one extent of deflate, with hardly a name in them."""
    block, inode, data_block, size = 4096, 36, 64, 11 << 20

    def names(*entries: bytes) -> bytes:
        rows = [struct.pack("<QHBx", inode, 12 * len(entries) + index * 2, 2) for index in range(len(entries))]
        return b"".join((*rows, *(entry.ljust(2, b"\0") for entry in entries))).ljust(block, b"\0")

    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    content = names(b".", b"..") + names(*[b"."] * 290) * (size // block - 1)
    packed = packer.compress(content) + packer.flush()
    blocks = -(-len(packed) // block)
    entries = [(1, 0, data_block), (2, 0, 1 << 11 | blocks)]
    entries += [(2, 0, min(number, 2047)) for number in range(2, size // block)]
    image = bytearray((data_block + blocks) * block)
    place = block + inode * 32
    struct.pack_into("<HHHHII", image, place, 1 << 1, 0, 0o40755, 2, size, 0)
    struct.pack_into("<IHBB", image, place + 32, 0, 2, 2, 0)
    for number, entry in enumerate(entries):
        struct.pack_into("<HHI", image, place + 48 + number * 8, *entry)
    image[-len(packed) :] = packed
    struct.pack_into("<IIIBBHQQIIII", image, 1024, 0xE0F5E1E2, 0, 0, 12, 0, inode, 9, 0, 0, len(image) // block, 1, 0)
    struct.pack_into("<I", image, 1024 + 80, 0x1 | 0x2)
    path.write_bytes(image)
