"""A GUID partition table: both copies read, checked and compared.

Source: UEFI 2.10 §5.3. On a disk of N+1 logical blocks of 512 or 4096 bytes::

    0 protective MBR | 1 header | 2… entries | first usable … last usable | entries | N header

The copies are read apart and each is whole (header and entry array with good CRCs, every field in bounds) or has a
fault. The primary copy is at LBA 1; the backup is where the primary says, or at the end of the disk, or where the
protective MBR says the disk once ended. The block size is the one whose "EFI PART" is found: a file does not say it.
A valid primary copy is believed before the backup. What does not stop a reader but should be known (overlaps, entries
outside the usable range or the disk, or that end before they begin, duplicate GUIDs, a backup that is not at the end, a
wrong protective MBR) is a warning: one bad entry condemns no other.

Linux (block/partitions/efi.c) reads the table only behind an MBR that protects it, and the backup only when the primary
copy is good, to compare them. With the kernel parameter ``gpt`` it needs no MBR, and takes the backup at the end of the
disk where the primary copy is damaged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from bootpath.core.device import Device, read_bytes
from bootpath.core.errors import FormatError
from bootpath.formats.partitions.gptheader import (
    GPT_BLOCK_SIZES,
    GPT_SIGNATURE,
    GPT_SPEC,
    GptHeader,
    Partition,
    parse_array,
    parse_header,
)
from bootpath.formats.partitions.protectivembr import MBR_BYTES, protective_blocks, protective_mbr_fault


class GptVerdict(Enum):
    """How the two copies stand to each other."""

    SOUND = "sound"
    PRIMARY_DAMAGED = "primary damaged"
    BACKUP_DAMAGED = "backup damaged"
    COPIES_DIFFER = "copies differ"

    @property
    def advice(self) -> str:
        """What to do about it, in one sentence."""
        match self:
            case GptVerdict.SOUND:
                return "Both copies agree; there is nothing to repair."
            case GptVerdict.PRIMARY_DAMAGED:
                return "Write the primary copy anew from the backup, which is whole."
            case GptVerdict.BACKUP_DAMAGED:
                return "Write the backup copy anew from the primary, which is whole."
            case GptVerdict.COPIES_DIFFER:
                return (
                    "Both copies are whole but say different things: check the primary, then write the backup from it."
                )


@dataclass(frozen=True, slots=True)
class Gpt:
    """What a disk's partition table says, from the copy that is to be believed, which is at `header_lba`.

    `partitions` can be used as far as the disk has them; `backward` entries are damaged. `protected`: the MBR says
    that there is a GPT.
    """

    disk_guid: UUID
    block_bytes: int
    size_bytes: int
    first_usable_lba: int
    last_usable_lba: int
    partitions: tuple[Partition, ...]
    entry_count: int = 128
    entry_bytes: int = 128
    primary_fault: FormatError | None = None
    backup_fault: FormatError | None = None
    copies_differ: bool = False
    warnings: tuple[str, ...] = ()
    backward: tuple[Partition, ...] = ()
    header_lba: int = 1
    protected: bool = True

    @property
    def needs_force(self) -> bool:
        """True when Linux finds the partitions only with the parameter ``gpt``."""
        return self.primary_fault is not None or not self.protected

    @property
    def misplaced_lba(self) -> int | None:
        """Where the only good copy is, when it is where Linux does not look."""
        return None if self.primary_fault is None or self.header_lba == self.last_lba else self.header_lba

    @property
    def verdict(self) -> GptVerdict:
        """How the two copies stand to each other."""
        if self.primary_fault is not None:
            return GptVerdict.PRIMARY_DAMAGED
        if self.backup_fault is not None:
            return GptVerdict.BACKUP_DAMAGED
        return GptVerdict.COPIES_DIFFER if self.copies_differ else GptVerdict.SOUND

    @property
    def last_lba(self) -> int:
        """The last logical block of the disk."""
        return self.size_bytes // self.block_bytes - 1

    @property
    def missing_bytes(self) -> int:
        """How many bytes are missing at the end at least: the table was made for a longer disk. 0 when it is whole."""
        return max(self.last_usable_lba - self.last_lba, 0) * self.block_bytes

    def partition(self, number: int) -> Partition | None:
        """The partition with this number, if that entry is used."""
        return next((partition for partition in self.partitions if partition.number == number), None)


@dataclass(frozen=True, slots=True)
class GptCopy:
    """One whole copy, as it is on the disk."""

    header: GptHeader
    array: bytes
    partitions: tuple[Partition, ...]


@dataclass(frozen=True, slots=True)
class GptCopies:
    """Both copies for one block size, each whole or with its fault.

    `primary_header` may be good where its array is not.
    """

    block_bytes: int
    last_lba: int
    primary: GptCopy | FormatError
    backup: GptCopy | FormatError
    primary_header: GptHeader | None
    boot_sector: bytes

    @property
    def best(self) -> GptCopy | None:
        """The copy to believe: the primary when it is whole, else the backup."""
        return next((copy for copy in (self.primary, self.backup) if isinstance(copy, GptCopy)), None)

    @property
    def differ(self) -> bool:
        """True when both are whole and do not describe the same disk, or do not point at each other."""
        if isinstance(self.primary, FormatError) or isinstance(self.backup, FormatError):
            return False
        first, second = self.primary.header, self.backup.header
        return (
            (first.my_lba, first.alternate_lba) != (second.alternate_lba, second.my_lba)
            or (first.disk_guid, first.first_usable_lba, first.last_usable_lba)
            != (second.disk_guid, second.first_usable_lba, second.last_usable_lba)
            or (first.entry_count, first.entry_bytes) != (second.entry_count, second.entry_bytes)
            or self.primary.array != self.backup.array
        )


def probe_gpt(device: Device) -> bool:
    """True when "EFI PART" stands where a header of either copy would be, sound or not."""
    ended = protective_blocks(_read(device, 0, MBR_BYTES))
    return any(
        _read(device, lba * block_bytes, 8) == GPT_SIGNATURE
        for block_bytes in GPT_BLOCK_SIZES
        for lba in (1, device.size_bytes // block_bytes - 1, ended)
        if lba is not None
    )


def read_gpt(device: Device) -> Gpt:
    """The partition table of a disk.

    Raises FormatError that names the faults of both copies when neither is usable, DeviceError when the device does.
    """
    copies = read_copies(device)
    best = copies.best
    assert best is not None
    header = best.header
    return Gpt(
        disk_guid=header.disk_guid,
        block_bytes=copies.block_bytes,
        size_bytes=device.size_bytes,
        first_usable_lba=header.first_usable_lba,
        last_usable_lba=header.last_usable_lba,
        partitions=tuple(each for each in best.partitions if not each.backward),
        entry_count=header.entry_count,
        entry_bytes=header.entry_bytes,
        primary_fault=copies.primary if isinstance(copies.primary, FormatError) else None,
        backup_fault=copies.backup if isinstance(copies.backup, FormatError) else None,
        copies_differ=copies.differ,
        warnings=tuple(_warnings(copies, best)),
        backward=tuple(each for each in best.partitions if each.backward),
        header_lba=header.my_lba,
        protected=protective_blocks(copies.boot_sector) is not None,
    )


def read_copies(device: Device) -> GptCopies:
    """Both copies for the block size that fits best. Raises FormatError when no copy is whole."""
    # A device that knows its block size is probably right; an image file of a 4096 disk claims 512.
    sizes = sorted(GPT_BLOCK_SIZES, key=lambda block_bytes: block_bytes != device.block_bytes)
    found = [_read_both(device, block_bytes) for block_bytes in sizes]
    found.sort(key=lambda copies: (isinstance(copies.primary, FormatError), isinstance(copies.backup, FormatError)))
    if found[0].best is not None:
        return found[0]
    if not probe_gpt(device):
        raise FormatError("there is no GPT", where="gpt", spec=GPT_SPEC, hint='"EFI PART" is nowhere it could be')
    # Both faults of the block size for which a signature was found, the device's own first.
    shown = next((copies for copies in found if _has_signature(device, copies)), found[0])
    raise FormatError(f"neither copy is usable: [{shown.primary}] [{shown.backup}]", where="gpt", spec=GPT_SPEC)


def find_overlaps(partitions: tuple[Partition, ...]) -> Iterator[tuple[Partition, Partition]]:
    """Pairs of partitions that share blocks: each with the one before it that reaches furthest."""
    furthest: Partition | None = None
    for partition in sorted(partitions, key=lambda partition: (partition.first_lba, partition.number)):
        if furthest is not None and partition.first_lba <= furthest.last_lba:
            yield furthest, partition
        if furthest is None or partition.last_lba > furthest.last_lba:
            furthest = partition


def _read(device: Device, offset: int, length: int) -> bytes:
    """Bytes at any offset of any device; fewer where it ends, none before it begins."""
    end = min(offset + length, device.size_bytes)
    if offset < 0 or end <= offset:
        return b""
    start = offset - offset % device.block_bytes
    stop = -(-end // device.block_bytes) * device.block_bytes
    return read_bytes(device, start, stop - start)[offset - start : end - start]


def _has_signature(device: Device, copies: GptCopies) -> bool:
    return any(_read(device, lba * copies.block_bytes, 8) == GPT_SIGNATURE for lba in (1, copies.last_lba) if lba >= 0)


def _read_both(device: Device, block_bytes: int) -> GptCopies:
    last_lba = device.size_bytes // block_bytes - 1
    boot_sector = _read(device, 0, MBR_BYTES)
    header, primary = _read_copy(device, block_bytes, 1, last_lba)
    places = [last_lba, protective_blocks(boot_sector)]
    if header is not None:
        places.insert(0, header.alternate_lba)
    backup: GptCopy | FormatError | None = None
    for lba in places:
        if lba is not None and not isinstance(backup, GptCopy):
            _, candidate = _read_copy(device, block_bytes, lba, last_lba)
            backup = candidate if backup is None or isinstance(candidate, GptCopy) else backup
    assert backup is not None
    return GptCopies(
        block_bytes=block_bytes,
        last_lba=last_lba,
        primary=primary,
        backup=backup,
        primary_header=header,
        boot_sector=boot_sector,
    )


def _read_copy(
    device: Device, block_bytes: int, lba: int, last_lba: int
) -> tuple[GptHeader | None, GptCopy | FormatError]:
    """The header at `lba` where it is good, and the whole copy or what is wrong with it."""
    header: GptHeader | None = None
    try:
        if not 1 <= lba <= last_lba:
            where = f"gpt: header at LBA {lba}"
            raise FormatError(
                "the header is not on the disk",
                where=where,
                found=f"last LBA {last_lba}",
                expected="a block that exists",
            )
        header, array_crc = parse_header(_read(device, lba * block_bytes, block_bytes), lba=lba, last_lba=last_lba)
        array = _read(device, header.entries_lba * block_bytes, header.array_bytes)
        return header, GptCopy(header, array, parse_array(array, header, array_crc, block_bytes=block_bytes))
    except FormatError as fault:
        return header, fault.as_value()


def _warnings(copies: GptCopies, best: GptCopy) -> Iterator[str]:
    if copies.differ:
        yield "the two copies of the table differ"
    fault = protective_mbr_fault(copies.boot_sector, copies.last_lba)
    if fault is not None:
        yield fault
    backup_lba = best.header.my_lba if best is copies.backup else best.header.alternate_lba
    if backup_lba != copies.last_lba:
        yield f"the backup copy is at LBA {backup_lba}, the disk ends at LBA {copies.last_lba}"
    first, last = best.header.first_usable_lba, best.header.last_usable_lba
    for partition in best.partitions:
        shown = f"partition {partition.number} (LBA {partition.first_lba} to {partition.last_lba})"
        if partition.backward:
            yield f"{shown} ends before it begins"
        elif partition.last_lba > copies.last_lba:
            yield f"{shown} ends after the disk, which ends at LBA {copies.last_lba}"
        elif not first <= partition.first_lba <= partition.last_lba <= last:
            yield f"{shown} is outside the usable range, LBA {first} to {last}"
    for before, after in find_overlaps(tuple(each for each in best.partitions if not each.backward)):
        yield f"partitions {before.number} and {after.number} overlap at LBA {after.first_lba}"
    owners: dict[UUID, int] = {}
    for partition in best.partitions:
        owner = owners.setdefault(partition.guid, partition.number)
        if owner != partition.number:
            yield f"partitions {owner} and {partition.number} have the same GUID {partition.guid}"
