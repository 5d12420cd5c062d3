"""How long the file of a VDI has to be.

Source: QEMU block/vdi.c, VdiHeader. Little endian: 0x158 where the blocks begin, u32; 0x178 bytes of a block, u32;
0x184 blocks that are there, u32.
"""

from __future__ import annotations

from bootpath.core.errors import FormatError
from bootpath.formats.region import Region


def check_whole_vdi(region: Region) -> None:
    """Raises FormatError when the file ends before its last block: QEMU reads zeros there. DeviceError."""
    start, block_bytes, blocks = (
        int.from_bytes(region.read(at, 4, "the header"), "little") for at in (0x158, 0x178, 0x184)
    )
    last = start + (blocks - 1) * block_bytes
    if blocks and last >= region.size_bytes:
        raise FormatError(
            "the file ends before its last block",
            where="VDI",
            found=f"{region.size_bytes} bytes",
            expected=f"more than {last}",
            hint="is it truncated?",
        )
