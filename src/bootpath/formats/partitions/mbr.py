"""The partitions of a disk with an MBR: primary ones, and the logical ones in an extended partition.

Source: UEFI 2.10 §5.2.1 for the table; Linux block/partitions/msdos.c and libblkid for what is one, and the numbers.
The first sector of the disk (`formats.partitions.protectivembr`) has four records, and so has the first sector of every
link of the chain in an extended partition (types 05, 0f, 85)::

    0 code   440 disk signature, u32   446 four records of 16 bytes   510 55 aa

      record:  0 status, 00 or 80 (bootable)   1 first CHS   4 type   5 last CHS   8 first block, u32   12 blocks, u32

    extended partition   link: record 1, a logical partition   from this link on
                               record 2, the next link         from the extended partition's beginning on

A block is a logical block of the disk, 512 or 4096 bytes; a table does not say which. Record n is partition n, logical
ones are numbered from 5 on in the order of the chain. Linux knows a partition by the disk's signature and its number:
PARTUUID=5a0c3b5e-01.

A table is refused as a whole only for what makes it none: the signature is missing, or a status is neither 00 nor 80,
as it is in boot sectors of file systems. Everything else concerns one partition, and is a warning. A record of type ee
protects a GPT: Linux and libblkid then look at none of the records, whether there is a GPT or not.

Invariants: numbers are unique, and every partition has at least one block; it may lie beyond the end of the disk.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from bootpath.core.device import SECTOR_BYTES, Device
from bootpath.core.errors import FormatError
from bootpath.core.limits import spend
from bootpath.formats.partitions.mbrtypes import MBR_TYPES
from bootpath.formats.partitions.protectivembr import MBR_BYTES, MBR_SIGNATURE, PROTECTIVE_TYPE
from bootpath.formats.region import Region

XBOOTLDR_TYPE = 0xEA
ESP_TYPE = 0xEF
LINUX_TYPE = 0x83
SWAP_TYPE = 0x82
EXTENDED_TYPES = (0x05, 0x0F, 0x85)
FIRST_LOGICAL = 5
MAX_NUMBER = 255
"""Linux gives a disk 256 minor numbers, the first of which is its own."""
MAX_EMPTY_LINKS = 100
"""So many links without a partition are followed in all; Linux follows as many one after the other."""

_RECORD = struct.Struct("<B3xB3xII")
_RECORDS_OFFSET, _RECORDS = 446, 4
_SIGNATURE_OFFSET = 440
_ACTIVE = 0x80
_FILE_SYSTEMS = (b"NTFS    ", b"EXFAT   ", b"-FVE-FS-")
"""What the boot sectors of file systems have at byte 3 that end as an MBR does; a FAT has nothing so sure."""


@dataclass(frozen=True, slots=True)
class DiskSignature:
    """The 32 bits by which disks with an MBR are told apart; as text, what PARTUUIDs begin with."""

    value: int

    def __str__(self) -> str:
        return f"{self.value:08x}"


@dataclass(frozen=True, slots=True)
class MbrPartition:
    """A record. LBAs are of the disk, also those of logical partitions; an MBR has no names."""

    number: int
    type: int
    first_lba: int
    blocks: int
    disk_signature: DiskSignature
    bootable: bool = False
    block_bytes: int = SECTOR_BYTES

    @property
    def last_lba(self) -> int:
        """The last block that belongs to it."""
        return self.first_lba + self.blocks - 1

    @property
    def offset_bytes(self) -> int:
        """Where it begins on the disk."""
        return self.first_lba * self.block_bytes

    @property
    def size_bytes(self) -> int:
        """Its size."""
        return self.blocks * self.block_bytes

    @property
    def partuuid(self) -> str:
        """What Linux calls it (msdos.c, `set_info`: "%08x-%02x")."""
        return f"{self.disk_signature}-{self.number:02x}"

    @property
    def extended(self) -> bool:
        """True when it holds logical partitions, and nothing else."""
        return self.type in EXTENDED_TYPES

    @property
    def logical(self) -> bool:
        """True when it is inside an extended one."""
        return self.number >= FIRST_LOGICAL

    @property
    def type_name(self) -> str:
        """The usual name of its type, else only the type in two hexadecimal digits."""
        name = MBR_TYPES.get(self.type)
        return f"type {self.type:02x}" if name is None else f"{name} ({self.type:02x})"


@dataclass(frozen=True, slots=True)
class Mbr:
    """What the table of a disk says, partitions by number. One that is `protective` has none that count."""

    signature: DiskSignature
    block_bytes: int
    partitions: tuple[MbrPartition, ...] = ()
    protective: bool = False
    warnings: tuple[str, ...] = ()

    def partition(self, number: int) -> MbrPartition | None:
        """The partition with this number, if there is one."""
        return next((partition for partition in self.partitions if partition.number == number), None)


@dataclass(frozen=True, slots=True)
class _Record:
    active: bool
    type: int
    first: int
    blocks: int

    @property
    def extended(self) -> bool:
        return self.type in EXTENDED_TYPES


def read_mbr(device: Device) -> Mbr | None:
    """The table of a disk, or None when its first sector is none. Raises LimitError, DeviceError.

    A boot sector of a FAT that has no code has a table without partitions, too.
    """
    region = Region(device)
    sector = region.peek(0, MBR_BYTES)
    if sector[3:11] in _FILE_SYSTEMS:
        return None
    try:
        records = _parse_records(sector)
    except FormatError:
        return None
    signature = DiskSignature(int.from_bytes(sector[_SIGNATURE_OFFSET : _SIGNATURE_OFFSET + 4], "little"))
    # "GPT uses valid MBR": libblkid and msdos.c leave the whole table alone.
    if any(record.type == PROTECTIVE_TYPE for record in records):
        others = [f"{record.type:02x}" for record in records if record.type not in (0, PROTECTIVE_TYPE)]
        return Mbr(signature, device.block_bytes, protective=True, warnings=tuple(_without_gpt(others)))
    reader = _Reader(region, device.block_bytes, signature)
    reader.read(records)
    spend("partition_entries", len(reader.found), "there are too many partitions", where="mbr")
    found = tuple(sorted(reader.found, key=lambda partition: partition.number))
    warnings = (*reader.warnings, *_warnings(found, device.size_bytes))
    return Mbr(signature, device.block_bytes, found, warnings=warnings)


def has_partitions(device: Device) -> bool:
    """True when Linux would look for the partitions of an MBR, whatever else is on the disk, and there are any."""
    try:
        records = _parse_records(Region(device, size_bytes=MBR_BYTES).peek(0, MBR_BYTES))
    except FormatError:
        return False
    return any(record.blocks for record in records) and all(record.type != PROTECTIVE_TYPE for record in records)


def _parse_records(sector: bytes) -> tuple[_Record, ...]:
    """The four records of a sector. Raises FormatError when it is neither an MBR nor a link."""
    if len(sector) < MBR_BYTES or sector[510:MBR_BYTES] != MBR_SIGNATURE:
        raise FormatError(
            "the signature of the MBR is wrong", where="mbr", found=sector[510:MBR_BYTES].hex(), expected="55aa"
        )
    records = []
    for index in range(_RECORDS):
        status, kind, first, blocks = _RECORD.unpack_from(sector, _RECORDS_OFFSET + index * _RECORD.size)
        # "Reject this in case the boot indicator is not 0 or 0x80."
        if status not in (0, _ACTIVE):
            raise FormatError(
                f"the status of record {index + 1} is not valid", where="mbr", found=status, expected="0 or 128"
            )
        records.append(_Record(status == _ACTIVE, kind, first, blocks))
    return tuple(records)


class _Reader:
    """Collects the partitions of one table as msdos.c does, and what is wrong with them."""

    def __init__(self, region: Region, block_bytes: int, signature: DiskSignature) -> None:
        self.region = region
        self.block_bytes = block_bytes
        self.signature = signature
        self.found: list[MbrPartition] = []
        self.warnings: list[str] = []
        self.next_number = FIRST_LOGICAL
        self.empty_links = 0

    def read(self, records: tuple[_Record, ...]) -> None:
        for number, record in enumerate(records, start=1):
            if record.blocks:
                self._add(number, record, record.first)
        for number, record in enumerate(records, start=1):
            if record.blocks and record.extended:
                self._follow(number, record)

    def _add(self, number: int, record: _Record, first_lba: int) -> None:
        partition = MbrPartition(
            number, record.type, first_lba, record.blocks, self.signature, record.active, self.block_bytes
        )
        self.found.append(partition)

    def _follow(self, number: int, extended: _Record) -> None:
        """The chain of an extended partition, to its end or to what breaks it."""
        seen: set[int] = set()
        lba, blocks = extended.first, extended.blocks
        while True:
            ends = f"the logical partitions in partition {number} end at LBA {lba}: "
            if lba in seen:
                self.warnings.append(f"{ends}the chain comes back to there")
                return
            seen.add(lba)
            sector = self.region.peek(lba * self.block_bytes, MBR_BYTES)
            if len(sector) < MBR_BYTES:
                self.warnings.append(f"{ends}the disk ends before")
                return
            records = _records_of_link(sector)
            if records is None:
                self.warnings.append(f"{ends}there is no link of the chain")
                return
            count = len(self.found)
            for index, record in enumerate(records):
                if record.blocks and not record.extended and _counts(index, record, lba, blocks, extended):
                    if self.next_number > MAX_NUMBER:
                        self.warnings.append(f"{ends}Linux knows no partition after {MAX_NUMBER}")
                        return
                    self._add(self.next_number, record, lba + record.first)
                    self.next_number += 1
            self.empty_links += len(self.found) == count
            link = next((record for record in records if record.blocks and record.extended), None)
            if link is None:
                return
            if self.empty_links >= MAX_EMPTY_LINKS:
                self.warnings.append(f"{ends}{self.empty_links} links have no partition")
                return
            lba, blocks = extended.first + link.first, link.blocks


def _records_of_link(sector: bytes) -> tuple[_Record, ...] | None:
    """The records of a link, whose status Linux does not look at; None where there is no link."""
    if sector[510:MBR_BYTES] != MBR_SIGNATURE:
        return None
    rows = (_RECORD.unpack_from(sector, _RECORDS_OFFSET + index * _RECORD.size) for index in range(_RECORDS))
    return tuple(_Record(status == _ACTIVE, kind, first, blocks) for status, kind, first, blocks in rows)


def _counts(index: int, record: _Record, lba: int, blocks: int, extended: _Record) -> bool:
    """True for a record that Linux makes a partition of."""
    if index < 2:
        return True
    # "Check the 3rd and 4th entries - these sometimes contain random garbage"
    begin, end = lba + record.first, lba + record.first + record.blocks
    return (
        record.first + record.blocks <= blocks and extended.first <= begin and end <= extended.first + extended.blocks
    )


def _without_gpt(others: list[str]) -> Iterator[str]:
    yield "the MBR is a protective one, and there is no GPT: Linux finds no partitions on the disk"
    if others:
        yield f"the MBR is a hybrid: it has records of type {', '.join(others)} too, which Linux does not look at"


def _warnings(partitions: tuple[MbrPartition, ...], size_bytes: int) -> Iterator[str]:
    containers = [partition for partition in partitions if partition.extended]
    furthest: MbrPartition | None = None
    for partition in sorted(partitions, key=lambda each: (each.first_lba, each.number)):
        shown = f"partition {partition.number} (LBA {partition.first_lba} to {partition.last_lba})"
        if partition.offset_bytes + partition.size_bytes > size_bytes:
            yield f"{shown} ends after the disk, which ends at LBA {size_bytes // partition.block_bytes - 1}"
        if partition.first_lba == 0:
            yield f"{shown} begins with the partition table"
        if partition.extended:
            continue
        if partition.logical and not any(_inside(partition, each) for each in containers):
            yield f"{shown} is not inside the extended partition"
        if furthest is not None and partition.first_lba <= furthest.last_lba:
            yield f"partitions {furthest.number} and {partition.number} overlap at LBA {partition.first_lba}"
        if furthest is None or partition.last_lba > furthest.last_lba:
            furthest = partition
    for partition in partitions:
        if partition.logical or partition.extended:
            continue
        for each in containers:
            if partition.first_lba <= each.last_lba and each.first_lba <= partition.last_lba:
                yield f"partitions {partition.number} and {each.number} overlap"
    if len(containers) > 1:
        yield "there is more than one extended partition: " + ", ".join(str(each.number) for each in containers)
    bootable = [str(partition.number) for partition in partitions if partition.bootable]
    if len(bootable) > 1:
        yield "more than one partition is bootable: " + ", ".join(bootable)


def _inside(partition: MbrPartition, container: MbrPartition) -> bool:
    return container.first_lba <= partition.first_lba and partition.last_lba <= container.last_lba
