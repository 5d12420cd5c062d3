"""The protective MBR: what tells programs that know no GPT that the disk is taken.

Source: UEFI 2.10 §5.2.3. In the first 512 bytes of the disk, whatever its block size::

      0 boot code, 440     440 disk signature, 0     444 unknown, 0     446 four partition records     510 55 aa

      record:  0 status   1 first CHS   4 type   5 last CHS   8 first LBA, u32   12 blocks, u32

The first record has type 0xee, begins at LBA 1 and spans the rest of the disk, or 0xffffffff blocks when it is
larger; the others are zero.
"""

from __future__ import annotations

import struct

from bootpath.core.errors import FormatError

MBR_BYTES = 512
MBR_SIGNATURE = b"\x55\xaa"
BOOT_CODE_BYTES = 440
PROTECTIVE_TYPE = 0xEE

_RECORD = struct.Struct("<B3sB3sII")
RECORDS_OFFSET = 446
_U32_MAX = 0xFFFFFFFF


def pack_protective_mbr(last_lba: int, *, boot_code: bytes = b"") -> bytes:
    """The 512 bytes for a disk that ends at `last_lba`. Raises FormatError when the boot code does not fit."""
    if len(boot_code) > BOOT_CODE_BYTES:
        raise FormatError(
            "the boot code is too long",
            where="mbr",
            found=f"{len(boot_code)} bytes",
            expected=f"at most {BOOT_CODE_BYTES}",
        )
    # "EndingCHS: set to the CHS address of the last logical block, or to 0xFFFFFF if it is not possible to represent
    # it."
    record = _RECORD.pack(0, b"\x00\x02\x00", PROTECTIVE_TYPE, b"\xff\xff\xff", 1, min(last_lba, _U32_MAX))
    return boot_code.ljust(RECORDS_OFFSET, b"\0") + record + bytes(3 * _RECORD.size) + MBR_SIGNATURE


def has_mbr(sector: bytes) -> bool:
    """True when the sector ends in the signature of an MBR, protective or not."""
    return sector[510:MBR_BYTES] == MBR_SIGNATURE


def protective_blocks(sector: bytes) -> int | None:
    """How many blocks the protective record spans: the last LBA of the disk it was made for. None without one."""
    for index in range(4 if has_mbr(sector) else 0):
        _, _, kind, _, first_lba, blocks = _RECORD.unpack_from(sector, RECORDS_OFFSET + index * _RECORD.size)
        if kind == PROTECTIVE_TYPE and first_lba == 1:
            return int(blocks)
    return None


def protective_mbr_fault(sector: bytes, last_lba: int) -> str | None:
    """What is wrong with the first sector of a GPT disk that ends at `last_lba`, in a sentence; None if right."""
    if not has_mbr(sector):
        return "the protective MBR is missing"
    blocks = protective_blocks(sector)
    if blocks is None:
        return "the MBR has no protective record that begins at LBA 1"
    # Many programs write 0xffffffff whatever the size, and Linux (block/partitions/efi.c) takes it.
    if blocks not in (min(last_lba, _U32_MAX), _U32_MAX):
        return f"the protective MBR covers {blocks} blocks, the disk has {last_lba} after the first"
    used = [index for index in range(4) if any(sector[RECORDS_OFFSET + index * 16 :][:16])]
    if len(used) > 1:
        return f"the MBR is a hybrid: {len(used)} records are in use"
    return None
