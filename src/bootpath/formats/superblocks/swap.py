"""Swap areas, and the image of a hibernated system in one.

Source: Linux include/linux/swap.h (union swap_header), kernel/power/swap.c; mkswap(8). The signature is the last ten
bytes of the first page, of 4 KiB to 64 KiB; numbers are in the byte order of the machine that made it::

    1024 version, u32 = 1   1028 last page, u32   1032 bad pages, u32   1036 UUID, 16   1052 label, 16
    page - 10 "SWAPSPACE2"                       ("S1SUSPEND\\0": hibernated, `swsuspend`)

"SWAP-SPACE", version 0, went with Linux 2.6 and is refused. There is no checksum.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from bootpath.formats.region import Region
from bootpath.formats.superblocks.value import Superblock, fault, text_field, uuid_field

PAGE_SIZES = (4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10)

_KIND = "swap"
_MAGIC = b"SWAPSPACE2"
_OLD = b"SWAP-SPACE"
_SUSPENDED = (b"S1SUSPEND\0", b"S2SUSPEND\0", b"ULSUSPEND\0", b"LINHIB0001")
_INFO_OFFSET = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapHeader(Superblock):
    """`block_bytes` is the page size; `bad_pages` are listed behind the header."""

    bad_pages: int
    byte_order: str

    @property
    def hibernated(self) -> bool:
        """True when a system's memory waits here to be resumed: using its file systems meanwhile destroys them."""
        return self.kind == "swsuspend"


def probe_swap(region: Region) -> SwapHeader | None:
    """The swap area, None when there is none. Raises FormatError when it is damaged, DeviceError."""
    for page_bytes in PAGE_SIZES:
        magic = region.peek(page_bytes - len(_MAGIC), len(_MAGIC))
        if magic == _OLD:
            raise fault(_KIND, "the version is not supported", 0, 1)
        if magic == _MAGIC or magic in _SUSPENDED:
            return _parse(region.peek(_INFO_OFFSET, 64), page_bytes, suspended=magic != _MAGIC)
    return None


def _parse(info: bytes, page_bytes: int, *, suspended: bool) -> SwapHeader:
    version = int.from_bytes(info[:4], "little")
    order = "big" if version == 1 << 24 else "little"
    version, last_page, bad_pages = struct.unpack_from(">III" if order == "big" else "<III", info)
    if version != 1:
        raise fault(_KIND, "the version is not supported", version, 1)
    if last_page == 0:
        raise fault(_KIND, "the number of the last page is zero", 0, "at least 1, behind the header")
    if bad_pages > (page_bytes - 1536 - len(_MAGIC)) // 4:
        raise fault(
            _KIND, "the number of bad pages is too large", bad_pages, f"what a page of {page_bytes} bytes can list"
        )
    return SwapHeader(
        kind="swsuspend" if suspended else _KIND,
        offset=page_bytes - len(_MAGIC),
        uuid=uuid_field(info[12:28]),
        label=text_field(info[28:44]),
        block_bytes=page_bytes,
        size_bytes=(last_page + 1) * page_bytes,
        version=str(version),
        bad_pages=bad_pages,
        byte_order=order,
    )
