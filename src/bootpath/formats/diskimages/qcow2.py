"""The header of a qcow2 image: how large its disk is, and which other files it names.

Source: QEMU docs/interop/qcow2.rst; for version 1 block/qcow.c. Big endian::

     0 "QFI\\xfb"   4 version, u32      8 backing file's name: offset, u64   16 its bytes, u32 (at most 1023)
    20 log2(cluster size), u32         24 bytes of the disk, u64            32 encryption, u32
    72 incompatible features, u64 (bit 2: external data file)   100 header bytes, u32   (both from version 3)

The refcount table (48 offset, u64; 56 clusters, u32) has the offsets of refcount blocks, u64 each; a block has the
count of as many clusters as fit in, of 2^(u32 at 96) bits each, 16 before version 3. `check_whole` finds the last
cluster by them: QEMU reads zeros where a file ends too early.

Header extensions follow the header: type, u32, bytes, u32, the data, zeros to a multiple of 8; type 0 ends them.
0xE2792ACA is the format of the backing file, 0x44415441 the name of the external data file. All this is in the first
cluster. Of version 1 only bytes 0 to 19 and the disk's size, at 24, are read.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from bootpath.core.errors import FormatError
from bootpath.formats.diskimages.recognise import QCOW_MAGIC
from bootpath.formats.region import Region

_HEADER = struct.Struct(">4sIQIIQI")
_V2_BYTES, _V3_BYTES = 72, 104
_MAX_NAME_BYTES = 1023
_MAX_EXTENSIONS = 64
_MAX_TABLE_BYTES = 8 << 20  # QCOW_MAX_REFTABLE_SIZE
_DATA_FILE = 1 << 2
_BACKING_FORMAT, _DATA_FILE_NAME = 0xE2792ACA, 0x44415441
_SPEC = "QEMU docs/interop/qcow2.rst"


@dataclass(frozen=True, slots=True)
class QcowHeader:
    """`backing_format` is None where the image does not say it, `data_file` where its data is in itself."""

    version: int
    size_bytes: int
    encrypted: bool
    backing_file: str | None
    backing_format: str | None
    data_file: str | None


def parse_qcow(region: Region) -> QcowHeader:
    """The header of an image of any version. Raises FormatError, DeviceError."""
    magic, version, name_at, name_bytes, bits, size, crypt = _HEADER.unpack(region.read(0, _HEADER.size, "the header"))
    if magic != QCOW_MAGIC or version not in (1, 2, 3):
        raise _fault("the version is not known", version, "1 to 3")
    if name_at and not 0 < name_bytes <= _MAX_NAME_BYTES:
        raise _fault("the name of the backing file is too long", f"{name_bytes} bytes", f"1 to {_MAX_NAME_BYTES}")
    backing = _text(region.read(name_at, name_bytes, "the name of the backing file")) if name_at else None
    if version == 1:
        # Version 1 has its own layout behind the size; encryption is the u32 at 36.
        (crypt,) = struct.unpack(">I", region.read(36, 4, "the header"))
        return QcowHeader(1, size, bool(crypt), backing, None, None)
    if not 9 <= bits <= 21:
        raise _fault("the cluster size is out of range", f"2^{bits}", "2^9 to 2^21")
    features, header_bytes = 0, _V2_BYTES
    if version == 3:
        features, header_bytes = struct.unpack(">Q20xI", region.read(_V2_BYTES, 32, "the header"))
        if header_bytes < _V3_BYTES or header_bytes % 8 or header_bytes > 1 << bits:
            raise _fault("the length of the header is not valid", header_bytes, f"{_V3_BYTES} or more, a multiple of 8")
    extensions = _extensions(region, header_bytes, 1 << bits)
    backing_format = extensions.get(_BACKING_FORMAT)
    data_file = extensions.get(_DATA_FILE_NAME, b"") if features & _DATA_FILE else None
    return QcowHeader(
        version,
        size,
        bool(crypt),
        backing,
        None if backing_format is None else _text(backing_format),
        None if data_file is None else _text(data_file),
    )


def check_whole(region: Region) -> None:
    """Raises FormatError when the file ends before its last cluster that is in use; DeviceError."""
    version, bits = struct.unpack(">4xI12xI", region.read(0, 24, "the header"))
    if version == 1:
        return
    table_at, table_clusters = struct.unpack(">QI", region.read(48, 12, "the header"))
    (order,) = struct.unpack(">I", region.read(96, 4, "the header")) if version > 2 else (4,)
    if not 9 <= bits <= 21 or order > 6 or table_clusters > _MAX_TABLE_BYTES >> bits:
        return  # QEMU says what is wrong
    table = region.read(table_at, table_clusters << bits, "the refcount table")
    used = len(table.rstrip(b"\0")) + 7 & ~7
    if not used:
        return
    (block_at,) = struct.unpack_from(">Q", table, used - 8)
    per_block = (8 << bits) >> order
    counts = region.read(block_at, 1 << bits, "the last refcount block").rstrip(b"\0")
    # The first of the counts that end in its last byte.
    last = (used // 8 - 1) * per_block + (max(len(counts) - 1, 0) * 8 >> order)
    if counts and last << bits >= region.size_bytes:
        raise FormatError(
            "the file ends before the last cluster that is in use",
            where="qcow2",
            found=f"{region.size_bytes} bytes",
            expected=f"more than {last << bits}",
            hint="is it truncated?",
        )


def _extensions(region: Region, position: int, end: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for _ in range(_MAX_EXTENSIONS):
        if position + 8 > min(end, region.size_bytes):
            return found
        kind, length = struct.unpack(">II", region.read(position, 8, "a header extension"))
        if not kind:
            return found
        if length > end - position - 8:
            raise _fault("a header extension does not fit into the first cluster", f"{length} bytes", "less")
        if kind in (_BACKING_FORMAT, _DATA_FILE_NAME):
            found[kind] = region.read(position + 8, length, "a header extension")
        position += 8 + (length + 7 & ~7)
    raise _fault("the header has too many extensions", f"more than {_MAX_EXTENSIONS}", f"at most {_MAX_EXTENSIONS}")


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _fault(what: str, found: object, expected: object) -> FormatError:
    return FormatError(what, where="qcow2", found=found, expected=expected, spec=_SPEC)
