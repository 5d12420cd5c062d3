"""The primary partitions of a disk with an MBR, for disks that have no GPT.

Source: UEFI 2.10 §5.2.1; UAPI.1 "The Partitions": "The boot partition — a partition with the type ID of 0xEA". The
layout is in `formats.partitions.protectivembr`. Partitions inside an extended one are not looked for: a boot partition
is a primary one.

Linux calls a partition by the disk's signature and its number: PARTUUID=5a0c3b5e-01 (block/partitions/msdos.c).
Invariant: the partitions do not overlap, and each has at least one sector.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise

from bootpath.core.device import SECTOR_BYTES
from bootpath.core.errors import FormatError
from bootpath.formats.partitions.protectivembr import MBR_BYTES, MBR_SIGNATURE, PROTECTIVE_TYPE

BOOT_PARTITION_TYPE = 0xEA

_RECORD = struct.Struct("<B3xB3xII")
_RECORDS_OFFSET, _RECORDS = 446, 4
_SIGNATURE_OFFSET = 440


@dataclass(frozen=True, slots=True)
class MbrPartition:
    """A record of the table; `number` counts from 1. Sectors have 512 bytes."""

    number: int
    type: int
    first_sector: int
    sectors: int
    partuuid: str

    @property
    def offset_bytes(self) -> int:
        """Where it begins on the disk."""
        return self.first_sector * SECTOR_BYTES

    @property
    def size_bytes(self) -> int:
        """Its size."""
        return self.sectors * SECTOR_BYTES


def parse_mbr_partitions(sector: bytes) -> tuple[MbrPartition, ...]:
    """The partitions in the disk's first 512 bytes, by number. Raises FormatError when it is no MBR of a disk."""
    if len(sector) < MBR_BYTES or sector[510:MBR_BYTES] != MBR_SIGNATURE:
        raise FormatError(
            "the signature of the MBR is wrong", where="mbr", found=sector[510:MBR_BYTES].hex(), expected="55aa"
        )
    signature = int.from_bytes(sector[_SIGNATURE_OFFSET : _SIGNATURE_OFFSET + 4], "little")
    found: list[MbrPartition] = []
    for index in range(_RECORDS):
        status, kind, first, sectors = _RECORD.unpack_from(sector, _RECORDS_OFFSET + index * _RECORD.size)
        if status not in (0, 0x80):
            raise FormatError(
                f"the status of record {index + 1} is not valid", where="mbr", found=status, expected="0 or 128"
            )
        if kind == PROTECTIVE_TYPE:
            raise FormatError("the MBR protects a GPT", where="mbr")
        if kind and first and sectors:
            found.append(MbrPartition(index + 1, kind, first, sectors, f"{signature:08x}-{index + 1:02x}"))
    ordered = sorted(found, key=lambda partition: partition.first_sector)
    for one, other in pairwise(ordered):
        if one.first_sector + one.sectors > other.first_sector:
            raise FormatError(f"partitions {one.number} and {other.number} overlap", where="mbr")
    return tuple(found)
