"""Pieces of ISO 9660 made by hand: descriptors, directory records, entries of system use areas, boot catalogs."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.device import Identity

SECTOR = 2048
TIME = bytes((123, 11, 14, 22, 13, 20, 0))
SP = b"SP\x07\x01\xbe\xef\0"
ER = b"ER\x12\x01\x0a\0\0\x01RRIP_1991A"


def both(value: int) -> bytes:
    """A number in both byte orders."""
    return struct.pack("<I", value) + struct.pack(">I", value)


def record(name: bytes, block: int, size: int, flags: int = 0, area: bytes = b"", *, unit: int = 0) -> bytes:
    """A directory record."""
    body = both(block) + both(size) + TIME + bytes((flags, unit, 0)) + b"\x01\0\0\x01" + bytes((len(name),)) + name
    body += b"" if len(name) % 2 else b"\0"
    body += area + bytes(len(area) % 2)
    return bytes((len(body) + 2, 0)) + body


def directory(block: int, *records: bytes, area: bytes = b"") -> bytes:
    """A directory of one sector that stands in `block`."""
    data = record(b"\0", block, SECTOR, 2, area) + record(b"\1", block, SECTOR, 2) + b"".join(records)
    assert len(data) <= SECTOR
    return data.ljust(SECTOR, b"\0")


def descriptor(kind: int, root: bytes, blocks: int, *, volume: bytes = b"DISC", escapes: bytes = b"") -> bytes:
    """A volume descriptor."""
    data = bytearray(SECTOR)
    data[:7] = bytes((kind,)) + b"CD001\x01"
    data[8:72] = b"\0" * 64 if escapes else b" " * 64
    data[40 : 40 + len(volume)] = volume
    data[80:88] = both(blocks)
    data[88 : 88 + len(escapes)] = escapes
    data[128:132] = struct.pack("<H", SECTOR) + struct.pack(">H", SECTOR)
    data[156 : 156 + len(root)] = root
    data[813:847] = (b"20231114221320" + b"00\0") * 2
    return bytes(data)


TERMINATOR = b"\xffCD001\x01".ljust(SECTOR, b"\0")


def boot_record(sector: int) -> bytes:
    """The descriptor that says where El Torito's catalog is."""
    head = b"\0CD001\x01" + b"EL TORITO SPECIFICATION".ljust(64, b"\0") + struct.pack("<I", sector)
    return head.ljust(SECTOR, b"\0")


def disc(*sectors: bytes, extra: Sequence[bytes] = (), root_bytes: int = SECTOR) -> bytes:
    """A medium: descriptors from sector 16 on, and what is given from sector 24 on, where the root is."""
    blocks = 24 + sum(-(-len(data) // SECTOR) for data in sectors)
    root = record(b"\0", 24, root_bytes, 2)
    head = bytes(16 * SECTOR) + descriptor(1, root, blocks) + b"".join(extra) + TERMINATOR
    return head.ljust(24 * SECTOR, b"\0") + b"".join(
        data.ljust(-(-len(data) // SECTOR) * SECTOR, b"\0") for data in sectors
    )


def device(data: bytes) -> MemoryDevice:
    return MemoryDevice(data, identity=Identity("disc"))


def catalog(*entries: bytes, platform: int = 0, maker: bytes = b"maker") -> bytes:
    """A boot catalog with a validation entry that is right."""
    head = bytearray(bytes((1, platform, 0, 0)) + maker.ljust(24, b"\0") + b"\0\0\x55\xaa")
    head[28:30] = struct.pack("<H", -sum(struct.unpack("<16H", head)) & 0xFFFF)
    return (bytes(head) + b"".join(entries)).ljust(SECTOR, b"\0")


def boot_entry(sector: int, sectors: int = 4, *, boots: bool = True, medium: int = 0) -> bytes:
    """An entry of a boot catalog."""
    return struct.pack("<BBHBxHI20x", 0x88 if boots else 0, medium, 0, 0, sectors, sector)


def boot_section(platform: int, *entries: bytes, last: bool = True, count: int | None = None) -> bytes:
    """A section of a boot catalog."""
    head = struct.pack("<BBH28x", 0x91 if last else 0x90, platform, len(entries) if count is None else count)
    return head + b"".join(entries)
