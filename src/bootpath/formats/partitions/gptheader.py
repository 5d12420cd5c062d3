"""One copy of a GUID partition table: its header and its entry array, from bytes and back.

Source: UEFI 2.10 §5.3.2 (header) and §5.3.3 (entry array). Little-endian; GUIDs in mixed endianness (Appendix A).

Header, in one logical block::

      0 "EFI PART"            24 my LBA              72 LBA of the entry array
      8 revision 0x00010000   32 LBA of the other    80 number of entries
     12 header size, 92..     40 first usable LBA    84 bytes an entry
     16 CRC-32 of the header  48 last usable LBA     88 CRC-32 of the entry array
     20 reserved, 0           56 disk GUID           92 reserved, 0

Entry, `entry_bytes` long, unused when its type is zero::

      0 type GUID   16 GUID   32 first LBA   40 last LBA   48 attributes   56 name, 36 UTF-16 code units   128 reserved

Limits of ours, because the numbers are not to be trusted: an entry has 128 · 2^n up to 4096 bytes, there are 1 to
16384 of them, and the array has at most 2 MiB (16384 entries of 128 bytes).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID
from zlib import crc32

from bootpath.core.errors import FormatError
from bootpath.core.limits import spend

GPT_SIGNATURE = b"EFI PART"
GPT_SPEC = "UEFI 2.10 §5.3"
GPT_REVISION = 0x00010000
GPT_BLOCK_SIZES = (512, 4096)
HEADER_BYTES = 92
MIN_ENTRY_BYTES = 128
MAX_ENTRY_BYTES = 4096
MAX_ENTRIES = 16384
MAX_ARRAY_BYTES = 2 * 1024 * 1024
NAME_UNITS = 36

_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_ENTRY = struct.Struct("<16s16sQQQ72s")
_NIL = UUID(int=0)
_U64_MAX = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Partition:
    """A used entry; `number` is its place in the array from 1. Both LBAs belong to it.

    One that is `backward` ends before it begins: it is no partition, and a table may have it all the same.
    """

    number: int
    type_guid: UUID
    guid: UUID
    first_lba: int
    last_lba: int
    flags: int = 0
    name: str = ""
    block_bytes: int = 512

    @property
    def offset_bytes(self) -> int:
        """Where it begins on the disk."""
        return self.first_lba * self.block_bytes

    @property
    def backward(self) -> bool:
        """True when it ends before it begins."""
        return self.last_lba < self.first_lba

    @property
    def size_bytes(self) -> int:
        """How long it is."""
        return 0 if self.backward else (self.last_lba - self.first_lba + 1) * self.block_bytes

    @property
    def partuuid(self) -> str:
        """What Linux calls it."""
        return str(self.guid)

    @property
    def type_name(self) -> str:
        """The name of its type where `PARTITION_TYPES` knows it, else the GUID."""
        return PARTITION_TYPES.get(self.type_guid, str(self.type_guid))


@dataclass(frozen=True, slots=True)
class GptHeader:
    """The fields of one header, without its checksums."""

    my_lba: int
    alternate_lba: int
    first_usable_lba: int
    last_usable_lba: int
    disk_guid: UUID
    entries_lba: int
    entry_count: int
    entry_bytes: int

    @property
    def array_bytes(self) -> int:
        """Length of the entry array."""
        return self.entry_count * self.entry_bytes

    def array_blocks(self, block_bytes: int) -> int:
        """Logical blocks the entry array takes."""
        return -(-self.array_bytes // block_bytes)


def parse_header(block: bytes, *, lba: int, last_lba: int) -> tuple[GptHeader, int]:
    """The header in the logical block at `lba` of a disk that ends at `last_lba`, and the CRC its array should have.

    Raises FormatError.
    """
    where = f"gpt: header at LBA {lba}"
    if block[:8] != GPT_SIGNATURE:
        raise _fault(where, "the header's signature is wrong", bytes(block[:8]), GPT_SIGNATURE)
    if len(block) < HEADER_BYTES:
        raise _fault(where, "the block is too short for a header", f"{len(block)} bytes", f"at least {HEADER_BYTES}")
    (
        _,
        revision,
        header_bytes,
        header_crc,
        reserved,
        my_lba,
        alternate_lba,
        first_usable_lba,
        last_usable_lba,
        disk_guid,
        entries_lba,
        entry_count,
        entry_bytes,
        array_crc,
    ) = _HEADER.unpack_from(block)
    # "HeaderSize must be greater than or equal to 92 and must be less than or equal to the logical block size."
    if not HEADER_BYTES <= header_bytes <= len(block):
        raise _fault(where, "the header's size is out of range", header_bytes, f"{HEADER_BYTES} to {len(block)}")
    # "This value is computed by setting this field to 0, and computing the 32-bit CRC for HeaderSize bytes."
    computed = crc32(block[:16] + bytes(4) + block[20:header_bytes])
    if computed != header_crc:
        raise _fault(where, "the header's CRC does not match", f"{computed:#010x}", f"{header_crc:#010x}")
    if revision != GPT_REVISION:
        raise _fault(where, "the header's revision is unknown", f"{revision:#010x}", f"{GPT_REVISION:#010x}")
    if reserved:
        raise _fault(where, "the header's reserved field is not zero", f"{reserved:#010x}", 0)
    # "MyLBA: the LBA that contains this data structure"
    if my_lba != lba:
        raise _fault(where, "the header's own LBA is wrong", my_lba, lba)
    if alternate_lba in (0, my_lba):
        raise _fault(where, "the LBA of the other copy is wrong", alternate_lba, "another block")
    header = GptHeader(
        my_lba=my_lba,
        alternate_lba=alternate_lba,
        first_usable_lba=first_usable_lba,
        last_usable_lba=last_usable_lba,
        disk_guid=UUID(bytes_le=disk_guid),
        entries_lba=entries_lba,
        entry_count=entry_count,
        entry_bytes=entry_bytes,
    )
    check_header(header, block_bytes=len(block), last_lba=max(last_lba, alternate_lba))
    # The disk may have been cut short behind this header, but its own array must be there.
    if entries_lba + header.array_blocks(len(block)) > last_lba + 1:
        raise _fault(
            where, "the entry array is not on the disk", f"LBA {entries_lba}", f"all of it before LBA {last_lba + 1}"
        )
    return header, array_crc


def check_header(header: GptHeader, *, block_bytes: int, last_lba: int) -> None:
    """Refuse a header whose array is out of bounds or lies in a wrong place. Raises FormatError."""
    where = f"gpt: header at LBA {header.my_lba}"
    size, count = header.entry_bytes, header.entry_count
    # "SizeOfPartitionEntry ... shall be set to a value of 128 x 2^n where n is an integer greater than or equal to
    # zero"
    if not MIN_ENTRY_BYTES <= size <= MAX_ENTRY_BYTES or size & (size - 1):
        raise _fault(where, "the entry size is not valid", size, f"128 * 2^n, at most {MAX_ENTRY_BYTES}")
    if not 1 <= count <= MAX_ENTRIES:
        raise _fault(where, "the number of entries is out of range", count, f"1 to {MAX_ENTRIES}")
    if header.array_bytes > MAX_ARRAY_BYTES:
        raise _fault(where, "the entry array is too large", f"{header.array_bytes} bytes", f"at most {MAX_ARRAY_BYTES}")
    first, last = header.first_usable_lba, header.last_usable_lba
    if not 2 <= first <= last + 1 <= last_lba:
        raise _fault(
            where, "the usable range is not valid", f"LBA {first} to {last}", f"a range inside LBA 2 to {last_lba - 1}"
        )
    if first <= header.my_lba <= last:
        raise _fault(where, "the header lies in the usable range", f"LBA {first} to {last}", "a place outside")
    begin, end = header.entries_lba, header.entries_lba + header.array_blocks(block_bytes)
    # "The primary GPT Partition Entry Array must be located after the primary GPT Header and end before the
    # FirstUsableLBA. The backup ... must be located after the LastUsableLBA and end before the backup GPT Header."
    low, high = (header.my_lba + 1, first) if header.my_lba < first else (last + 1, header.my_lba)
    if begin < low or end > high:
        raise _fault(
            where,
            "the entry array is in the wrong place",
            f"LBA {begin} to {end - 1}",
            f"inside LBA {low} to {high - 1}",
        )


def pack_header(header: GptHeader, array_crc: int, *, block_bytes: int) -> bytes:
    """The logical block that holds the header, with its checksum."""
    fields = (
        header.my_lba,
        header.alternate_lba,
        header.first_usable_lba,
        header.last_usable_lba,
        header.disk_guid.bytes_le,
        header.entries_lba,
        header.entry_count,
        header.entry_bytes,
        array_crc,
    )
    bare = _HEADER.pack(GPT_SIGNATURE, GPT_REVISION, HEADER_BYTES, 0, 0, *fields)
    return _HEADER.pack(GPT_SIGNATURE, GPT_REVISION, HEADER_BYTES, crc32(bare), 0, *fields).ljust(block_bytes, b"\0")


def parse_array(array: bytes, header: GptHeader, array_crc: int, *, block_bytes: int) -> tuple[Partition, ...]:
    """The used entries of an array of exactly header.array_bytes, backward ones too. Raises FormatError."""
    where = f"gpt: entries at LBA {header.entries_lba}"
    computed = crc32(array)
    if computed != array_crc:
        raise _fault(where, "the CRC of the entry array does not match", f"{computed:#010x}", f"{array_crc:#010x}")
    size, unused = header.entry_bytes, _NIL.bytes
    used = [index for index in range(header.entry_count) if array[index * size : index * size + 16] != unused]
    spend("partition_entries", len(used), "there are too many partitions", where=where)
    partitions: list[Partition] = []
    for index in used:
        start = index * size
        type_guid, guid, first_lba, last_lba, flags, name = _ENTRY.unpack_from(array, start)
        partitions.append(
            Partition(
                number=index + 1,
                type_guid=UUID(bytes_le=type_guid),
                guid=UUID(bytes_le=guid),
                first_lba=first_lba,
                last_lba=last_lba,
                flags=flags,
                name=_parse_name(name),
                block_bytes=block_bytes,
            )
        )
    return tuple(partitions)


def pack_array(partitions: Iterable[Partition], *, entry_count: int, entry_bytes: int) -> bytes:
    """The entry array, each partition at its number. Raises FormatError for an entry that has no place in it."""
    array = bytearray(entry_count * entry_bytes)
    for partition in partitions:
        where = f"gpt: partition {partition.number}"
        start = (partition.number - 1) * entry_bytes
        if not 1 <= partition.number <= entry_count:
            raise _fault(where, "the partition's number is out of range", partition.number, f"1 to {entry_count}")
        if array[start : start + 16] != _NIL.bytes:
            raise _fault(where, "the partition's number is used twice", partition.number, "a free entry")
        if partition.type_guid == _NIL:
            raise _fault(where, "the partition's type is zero", _NIL, "another type: zero marks an unused entry")
        if not 0 <= partition.first_lba <= partition.last_lba <= _U64_MAX or not 0 <= partition.flags <= _U64_MAX:
            raise _fault(
                where,
                "the partition's LBAs or flags are out of range",
                f"LBA {partition.first_lba} to {partition.last_lba}, flags {partition.flags:#x}",
                "0 <= first <= last < 2^64",
            )
        _ENTRY.pack_into(
            array,
            start,
            partition.type_guid.bytes_le,
            partition.guid.bytes_le,
            partition.first_lba,
            partition.last_lba,
            partition.flags,
            _pack_name(partition.name, where),
        )
    return bytes(array)


def _parse_name(raw: bytes) -> str:
    """Up to the first NUL. Unpaired surrogates become U+FFFD: a bad name is no reason to lose a partition."""
    return raw.decode("utf-16-le", errors="replace").partition("\0")[0]


def _pack_name(name: str, where: str) -> bytes:
    try:
        raw = name.encode("utf-16-le")
    except UnicodeEncodeError:
        raise _fault(
            where, "the partition's name is not Unicode", ascii(name), "Unicode without lone surrogates"
        ) from None
    if "\0" in name or len(raw) > 2 * NAME_UNITS:
        raise _fault(
            where,
            "the partition's name is too long or has a NUL",
            ascii(name),
            f"at most {NAME_UNITS} UTF-16 code units, none of them NUL",
        )
    return raw


def _fault(where: str, what: str, found: object, expected: object) -> FormatError:
    return FormatError(what, where=where, found=found, expected=expected, spec=GPT_SPEC)


# RedoxFS has no type of its own: Redox's installer uses LINUX_FS and the name "REDOX".
EFI_SYSTEM = UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
BIOS_BOOT = UUID("21686148-6449-6e6f-744e-656564454649")
LINUX_FS = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
XBOOTLDR = UUID("bc13c2ff-59e6-4262-a352-b275fd6f7172")

PARTITION_TYPES: dict[UUID, str] = {
    EFI_SYSTEM: "EFI system",
    BIOS_BOOT: "BIOS boot",
    LINUX_FS: "Linux file system",
    XBOOTLDR: "extended boot loader",
    UUID("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7"): "Microsoft basic data",
    UUID("e3c9e316-0b5c-4db8-817d-f92df00215ae"): "Microsoft reserved",
    UUID("de94bba4-06d1-4d40-a16a-bfd50179d6ac"): "Windows recovery",
    UUID("e6d6d379-f507-44c2-a23c-238f2a3df928"): "Linux LVM",
    UUID("a19d880f-05fc-4d3b-a006-743f0f84911e"): "Linux RAID",
}
