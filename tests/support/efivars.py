"""Variable stores of EDK2, by hand: for states and damage that no tool makes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from uuid import UUID

VOLUME_GUID = UUID("fff12b8d-7696-4c8b-a985-2747075b4f50")
AUTHENTICATED_GUID = UUID("aaf32c78-947b-439a-a180-2e144ec37792")
PLAIN_GUID = UUID("ddcf3616-3275-4164-98b6-fe85707ffe7d")
LOADER_GUID = UUID("4a67b082-0a4c-41cf-b6c7-440b29bb8c4f")
HEADER_BYTES = 72


def utf16(text: str) -> bytes:
    return f"{text}\0".encode("utf-16-le")


def raw_variable(
    name: str, data: bytes, *, state: int = 0x3F, guid: UUID = LOADER_GUID, authenticated: bool = True
) -> bytes:
    encoded = utf16(name)
    head = struct.pack("<HBxI", 0x55AA, state, 7) + (bytes(28) if authenticated else b"")
    packed = head + struct.pack("<II", len(encoded), len(data)) + guid.bytes_le + encoded + data
    return packed + b"\xff" * (-len(packed) % 4)


def edk2_store(variables: Sequence[bytes], *, size_bytes: int = 8192, authenticated: bool = True) -> bytearray:
    """A firmware volume of `size_bytes` with these variables (`raw_variable`)."""
    header = bytearray(HEADER_BYTES)
    struct.pack_into(
        "<16s16sQ4sIHH", header, 0, b"", VOLUME_GUID.bytes_le, size_bytes, b"_FVH", 0x4FEFF, HEADER_BYTES, 0
    )
    header[55] = 2
    struct.pack_into("<II", header, 56, 1, size_bytes)
    struct.pack_into("<H", header, 50, -sum(struct.unpack("<36H", header)) & 0xFFFF)
    guid = AUTHENTICATED_GUID if authenticated else PLAIN_GUID
    store = struct.pack("<16sIBB6x", guid.bytes_le, size_bytes - HEADER_BYTES, 0x5A, 0xFE)
    return bytearray((bytes(header) + store + b"".join(variables)).ljust(size_bytes, b"\xff"))
