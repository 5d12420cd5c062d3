from __future__ import annotations

from uuid import UUID

import pytest

from bootpath.core.errors import Error
from bootpath.formats.partitions.gptheader import BIOS_BOOT, EFI_SYSTEM, LINUX_FS
from bootpath.image.redox.layout import redox_layout

FS = UUID("6f3a2f8e-93a5-4b6e-8f43-0d9ef0b2c001")
MIB = 1 << 20


def test_layout_is_the_installers() -> None:
    # redox-os/installer src/installer.rs: BIOS to 1 MiB, EFI 1 MiB, RedoxFS to the last whole MiB before the backup
    layout = redox_layout(4093 * MIB, FS)
    bios, efi, root = layout.partitions
    assert (bios.type_guid, bios.name, bios.first_lba, bios.last_lba) == (BIOS_BOOT, "BIOS", 34, 2047)
    assert (efi.type_guid, efi.name, efi.first_lba, efi.last_lba) == (EFI_SYSTEM, "EFI", 2048, 4095)
    assert (root.type_guid, root.name) == (LINUX_FS, "REDOX")
    assert (root.offset_bytes, root.size_bytes) == (2 * MIB, 4090 * MIB)


def test_guids_follow_from_the_uuid_and_differ() -> None:
    layout = redox_layout(64 * MIB, FS)
    assert layout == redox_layout(64 * MIB, FS)
    guids = {layout.disk_guid, *(partition.guid for partition in layout.partitions)}
    assert len(guids) == 4
    assert redox_layout(64 * MIB, UUID(int=1)).disk_guid not in guids


def test_larger_efi_partition_moves_the_root() -> None:
    assert redox_layout(64 * MIB, FS, efi_bytes=8 * MIB).partitions[2].offset_bytes == 9 * MIB


@pytest.mark.parametrize(("size", "efi"), [(3 * MIB, MIB), (64 * MIB + 1, MIB), (64 * MIB, MIB + 512), (64 * MIB, 0)])
def test_impossible_sizes(size: int, efi: int) -> None:
    with pytest.raises(Error, match="layout"):
        redox_layout(size, FS, efi_bytes=efi)
