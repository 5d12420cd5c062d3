"""How Redox's installer lays out a disk, and where its boot loaders look.

Source: redox-os/installer ``src/installer.rs`` (partition offsets) and redox-os/bootloader ``src/os/bios/mod.rs``,
``src/os/uefi/mod.rs`` (fixed offsets).

    LBA 0          protective MBR (with the BIOS loader's first stage)
    LBA 1..33      primary GPT
    LBA 34..2047   "BIOS"   BIOS boot partition, up to 1 MiB
    1 MiB..        "EFI"    EFI system partition, 1 MiB unless asked otherwise
    ..             "REDOX"  RedoxFS, to the last whole MiB before the backup GPT

The BIOS loader does not read the GPT: it opens RedoxFS at 2 MiB, so an image it should boot keeps the EFI partition at
1 MiB. The UEFI loader opens RedoxFS at 0 of each logical partition, or of a bare disk.
"""

from __future__ import annotations

import uuid

from bootpath.core.errors import Error
from bootpath.formats.partitions.gpt import Gpt
from bootpath.formats.partitions.gptheader import BIOS_BOOT, EFI_SYSTEM, LINUX_FS, Partition
from bootpath.formats.partitions.gptwrite import new_gpt

MIB = 1 << 20
SECTOR = 512
GPT_RESERVED_BYTES = 34 * SECTOR
BIOS_FIXED_OFFSET = 2 * MIB
"""Where the BIOS loader looks for RedoxFS on a whole disk, in bytes."""
BARE_FIXED_OFFSET = 0
"""Where the UEFI loader looks for RedoxFS on a logical partition or a bare image, in bytes."""

REDOX_NAME = "REDOX"
KERNEL_PATH = "/usr/lib/boot/kernel"
INITFS_PATH = "/usr/lib/boot/initfs"
KERNEL_MAGIC = b"\x7fELF"
INITFS_MAGIC = b"RedoxFtw"

MIN_FILE_SYSTEM_BYTES = 2 * MIB
"""The header ring alone is 1 MiB; the crate wants 260 blocks, we leave room for a root directory."""


def redox_layout(size_bytes: int, file_system_uuid: uuid.UUID, *, efi_bytes: int = MIB) -> Gpt:
    """The partition table of a live disk of `size_bytes`.

    The disk's and the partitions' GUIDs are derived from the file system's uuid (version 5, RFC 9562 §5.5), so the same
    uuid gives the same table. Raises Error when the disk is too small or a size is not whole.
    """
    if size_bytes % SECTOR or efi_bytes % MIB or efi_bytes < MIB:
        raise Error(
            "the sizes are not whole sectors, and whole MiB for the EFI partition",
            where="layout",
            found=f"disk {size_bytes}, EFI {efi_bytes}",
        )
    start = MIB + efi_bytes
    end = (size_bytes - GPT_RESERVED_BYTES) // MIB * MIB
    if end - start < MIN_FILE_SYSTEM_BYTES:
        raise Error(
            "the disk is too small",
            where="layout",
            found=f"{size_bytes} bytes",
            expected=f"at least {start + MIN_FILE_SYSTEM_BYTES + MIB} bytes",
        )

    def partition(number: int, type_guid: uuid.UUID, name: str, first: int, after: int) -> Partition:
        return Partition(
            number=number,
            type_guid=type_guid,
            guid=uuid.uuid5(file_system_uuid, f"partition {name}"),
            first_lba=first // SECTOR,
            last_lba=after // SECTOR - 1,
            flags=0,
            name=name,
        )

    return new_gpt(
        size_bytes,
        uuid.uuid5(file_system_uuid, "disk"),
        (
            partition(1, BIOS_BOOT, "BIOS", GPT_RESERVED_BYTES, MIB),
            partition(2, EFI_SYSTEM, "EFI", MIB, start),
            partition(3, LINUX_FS, REDOX_NAME, start, end),
        ),
    )
