"""A GUID partition table as writes: a new one, a changed one, or the repair of a damaged one.

Source: UEFI 2.10 §5.3. Nothing is written here. Every function returns ``(offset, data)`` pairs in whole logical
blocks, in the order in which they should reach the disk: arrays before their headers and the backup before the
primary, so that whatever interrupts the writing leaves at least one whole copy; the protective MBR last.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID
from zlib import crc32

from bootpath.core.device import Device
from bootpath.core.errors import FormatError
from bootpath.formats.partitions.gpt import Gpt, GptCopies, GptCopy, find_overlaps, read_copies
from bootpath.formats.partitions.gptheader import (
    GPT_BLOCK_SIZES,
    GPT_SPEC,
    GptHeader,
    Partition,
    check_header,
    pack_array,
    pack_header,
)
from bootpath.formats.partitions.protectivembr import (
    BOOT_CODE_BYTES,
    MBR_BYTES,
    MBR_SIGNATURE,
    RECORDS_OFFSET,
    has_mbr,
    pack_protective_mbr,
)

PRIMARY_LBA = 1
PRIMARY_ENTRIES_LBA = 2


def new_gpt(
    size_bytes: int,
    disk_guid: UUID,
    partitions: Iterable[Partition],
    block_bytes: int = 512,
    *,
    entry_count: int = 128,
) -> Gpt:
    """A table with the largest usable range for a disk of this size. Raises FormatError as `pack_gpt`."""
    array_blocks = -(-entry_count * 128 // block_bytes)
    gpt = Gpt(
        disk_guid=disk_guid,
        block_bytes=block_bytes,
        size_bytes=size_bytes,
        first_usable_lba=PRIMARY_ENTRIES_LBA + array_blocks,
        last_usable_lba=size_bytes // block_bytes - 2 - array_blocks,
        partitions=tuple(partitions),
        entry_count=entry_count,
    )
    pack_gpt(gpt)
    return gpt


def pack_gpt(gpt: Gpt, *, boot_code: bytes = b"") -> list[tuple[int, bytes]]:
    """The writes that put the table on its disk, with `boot_code` (up to 440 bytes) in the protective MBR.

    Raises FormatError for a table that does not fit its disk or its own usable range, and for overlaps and duplicates.
    """
    if gpt.block_bytes not in GPT_BLOCK_SIZES:
        raise _fault("the block size is not supported", gpt.block_bytes, "512 or 4096")
    _check_partitions(gpt)
    array = pack_array(gpt.partitions, entry_count=gpt.entry_count, entry_bytes=gpt.entry_bytes)
    primary = GptHeader(
        my_lba=PRIMARY_LBA,
        alternate_lba=gpt.last_lba,
        first_usable_lba=gpt.first_usable_lba,
        last_usable_lba=gpt.last_usable_lba,
        disk_guid=gpt.disk_guid,
        entries_lba=PRIMARY_ENTRIES_LBA,
        entry_count=gpt.entry_count,
        entry_bytes=gpt.entry_bytes,
    )
    return [
        *_copy_writes(_backup_of(primary, gpt.block_bytes), array, gpt.block_bytes, gpt.last_lba),
        *_copy_writes(primary, array, gpt.block_bytes, gpt.last_lba),
        (0, pack_protective_mbr(gpt.last_lba, boot_code=boot_code).ljust(gpt.block_bytes, b"\0")),
    ]


def repair_gpt(device: Device) -> list[tuple[int, bytes]]:
    """The writes that make both copies say what the good one says; none when there is nothing to do.

    Bytes of the good copy's array are taken as they are, so nothing this program does not understand is lost. A
    protective MBR is written only where there is no MBR at all, or one without any partition. Raises FormatError when
    no copy is whole, and when the copies cannot both be on the disk because it was cut short.
    """
    copies = read_copies(device)
    writes: list[tuple[int, bytes]] = []
    if isinstance(copies.primary, GptCopy):
        good = copies.primary
        if isinstance(copies.backup, FormatError) or copies.differ:
            if good.header.alternate_lba > copies.last_lba:
                raise FormatError(
                    "the backup copy belongs beyond the end of the disk",
                    where="gpt",
                    found=f"LBA {good.header.alternate_lba}",
                    expected=f"a block of the disk, which ends at LBA {copies.last_lba}",
                    spec=GPT_SPEC,
                    hint="the disk or image was cut short; make it whole before repairing its table",
                )
            backup = _backup_of(good.header, copies.block_bytes)
            writes += _copy_writes(backup, good.array, copies.block_bytes, copies.last_lba)
    elif isinstance(copies.backup, GptCopy):
        good = copies.backup
        header = replace(
            good.header,
            my_lba=PRIMARY_LBA,
            alternate_lba=good.header.my_lba,
            entries_lba=_primary_entries_lba(copies),
        )
        if copies.backup.header.alternate_lba != PRIMARY_LBA:
            backup = replace(good.header, alternate_lba=PRIMARY_LBA)
            writes += _copy_writes(backup, good.array, copies.block_bytes, copies.last_lba)
        writes += _copy_writes(header, good.array, copies.block_bytes, copies.last_lba)
    empty = not any(copies.boot_sector[RECORDS_OFFSET : MBR_BYTES - len(MBR_SIGNATURE)])
    if empty or not has_mbr(copies.boot_sector):
        sector = pack_protective_mbr(copies.last_lba, boot_code=copies.boot_sector[:BOOT_CODE_BYTES])
        writes.append((0, sector.ljust(copies.block_bytes, b"\0")))
    return writes


def _backup_of(primary: GptHeader, block_bytes: int) -> GptHeader:
    array_blocks = primary.array_blocks(block_bytes)
    return replace(
        primary,
        my_lba=primary.alternate_lba,
        alternate_lba=PRIMARY_LBA,
        entries_lba=primary.alternate_lba - array_blocks,
    )


def _primary_entries_lba(copies: GptCopies) -> int:
    """Where the damaged primary copy kept its array, if its header is good enough to say so."""
    return PRIMARY_ENTRIES_LBA if copies.primary_header is None else copies.primary_header.entries_lba


def _copy_writes(header: GptHeader, array: bytes, block_bytes: int, last_lba: int) -> list[tuple[int, bytes]]:
    check_header(header, block_bytes=block_bytes, last_lba=last_lba)
    padded = array.ljust(header.array_blocks(block_bytes) * block_bytes, b"\0")
    return [
        (header.entries_lba * block_bytes, padded),
        (header.my_lba * block_bytes, pack_header(header, crc32(array), block_bytes=block_bytes)),
    ]


def _check_partitions(gpt: Gpt) -> None:
    guids: set[UUID] = set()
    for partition in gpt.partitions:
        where = f"partition {partition.number}"
        if partition.block_bytes != gpt.block_bytes:
            raise _fault(
                f"{where} has another block size than the table",
                f"{partition.block_bytes} bytes",
                f"{gpt.block_bytes} bytes",
            )
        # "StartingLBA, EndingLBA: ... inside the usable range of the header"
        if not gpt.first_usable_lba <= partition.first_lba <= partition.last_lba <= gpt.last_usable_lba:
            raise _fault(
                f"{where} is outside the usable range",
                f"LBA {partition.first_lba} to {partition.last_lba}",
                f"inside LBA {gpt.first_usable_lba} to {gpt.last_usable_lba}",
            )
        if partition.guid in guids:
            raise _fault(
                f"{where} has the GUID of another partition", partition.guid, "one that no other partition has"
            )
        guids.add(partition.guid)
    for before, after in find_overlaps(gpt.partitions):
        raise _fault(
            f"partitions {before.number} and {after.number} overlap", f"LBA {after.first_lba} in both", "no overlap"
        )


def _fault(what: str, found: object, expected: object) -> FormatError:
    return FormatError(what, where="gpt", found=found, expected=expected, spec=GPT_SPEC)
