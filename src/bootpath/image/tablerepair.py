"""The repair of a partition table that has one good copy: a plan, and its writes, each stable before the next.

A GPT has two copies so that one can be written again from the other (UEFI 2.10 §5.3.2); `formats.partitions.gptwrite`
says which bytes and in which order. Nothing but the damaged copy, and an MBR that is missing, is written: a power cut
in between leaves the good copy as it was.
"""

from __future__ import annotations

from dataclasses import dataclass

from bootpath.core.device import Device, read_bytes
from bootpath.core.errors import FormatError
from bootpath.core.iolog import Flush, Record, Write
from bootpath.core.reasons import Explanation, Reason
from bootpath.formats.partitions.gpt import Gpt, GptVerdict, read_gpt
from bootpath.formats.partitions.gptwrite import repair_gpt
from bootpath.formats.partitions.mbr import has_partitions


class RepairReason(Reason):
    """What a repair does."""

    FIRST_COPY = "write the first copy of the partition table from the backup copy"
    BACKUP_COPY = "write the backup copy of the partition table from the first copy"
    DIFFERENT_BACKUP = "write the backup copy of the partition table, which differs, from the first copy"
    MBR = "write the protective MBR, without which Linux does not look for the partition table"


_REASONS = {
    GptVerdict.PRIMARY_DAMAGED: RepairReason.FIRST_COPY,
    GptVerdict.BACKUP_DAMAGED: RepairReason.BACKUP_COPY,
    GptVerdict.COPIES_DIFFER: RepairReason.DIFFERENT_BACKUP,
}


@dataclass(frozen=True, slots=True)
class TableRepair:
    """What is wrong with a table, and what makes it right: `records` are none when nothing is to be done."""

    name: str
    gpt: Gpt
    steps: tuple[Explanation[RepairReason], ...]
    records: tuple[Record, ...]

    @property
    def written_bytes(self) -> int:
        """How much is written."""
        return sum(record.length for record in self.records if isinstance(record, Write))


def plan_repair(disk: Device) -> TableRepair:
    """How to repair the table of a disk. Raises FormatError when there is none to repair it from, DeviceError."""
    name = disk.identity.name
    try:
        if has_partitions(disk):
            raise FormatError("the disk has an MBR, of which there is no second copy", where="mbr")
        gpt = read_gpt(disk)
        writes = repair_gpt(disk)
    except FormatError as fault:
        raise fault.at(name) from None
    reason = _REASONS.get(gpt.verdict)
    steps = [] if reason is None else [reason()]
    if any(offset == 0 for offset, _ in writes):
        steps.append(RepairReason.MBR())
    records: list[Record] = []
    for offset, data in writes:
        if offset % disk.block_bytes or len(data) % disk.block_bytes:
            offset, data = _widened(disk, offset, data)
        records += [Write(offset, len(data), data), Flush()]
    return TableRepair(name, gpt, tuple(steps), tuple(records))


def apply_repair(disk: Device, repair: TableRepair) -> Gpt:
    """Make the writes of a plan, and read the table again. Raises DeviceError, FormatError."""
    for record in repair.records:
        if isinstance(record, Write):
            assert record.data is not None
            disk.write(record.offset, record.data)
        else:
            disk.flush()
    return read_gpt(disk)


def _widened(disk: Device, offset: int, data: bytes) -> tuple[int, bytes]:
    """The same write in whole blocks of a device that has larger ones than the table."""
    start = offset - offset % disk.block_bytes
    end = -(-(offset + len(data)) // disk.block_bytes) * disk.block_bytes
    whole = bytearray(read_bytes(disk, start, end - start))
    whole[offset - start : offset - start + len(data)] = data
    return start, bytes(whole)
