"""CRC-32C (Castagnoli), the checksum of ext4's metadata, of btrfs, XFS and erofs superblocks, and of iSCSI.

Source: RFC 3720 §12.1 and appendix B.4 (polynomial 0x1EDC6F41, bits reflected, so 0x82F63B78 here). An iSCSI CRC
begins with 0xFFFFFFFF and is inverted at the end. File systems mostly keep the register as it is (Linux `crc32c_le`),
so that a checksum over several pieces can be continued: `crc32c_update`.

Pure Python, a table of 256 words for each of 8 bytes at a time ("slicing by 8"): some megabytes a second, which is
enough for metadata. Do not checksum files with it.
"""

from __future__ import annotations

import struct

POLYNOMIAL = 0x82F63B78
_MASK = 0xFFFFFFFF
_EIGHT = struct.Struct("<II")


def _make_tables() -> tuple[tuple[int, ...], ...]:
    first = []
    for byte in range(256):
        register = byte
        for _ in range(8):
            register = register >> 1 ^ (POLYNOMIAL if register & 1 else 0)
        first.append(register)
    tables = [tuple(first)]
    for _ in range(7):
        last = tables[-1]
        tables.append(tuple(word >> 8 ^ first[word & 0xFF] for word in last))
    return tuple(tables)


_TABLES = _make_tables()


def crc32c_update(register: int, data: bytes | bytearray | memoryview) -> int:
    """The register after `data`, from `register`; not inverted at either end (Linux `crc32c_le`)."""
    t0, t1, t2, t3, t4, t5, t6, t7 = _TABLES
    view = memoryview(data).cast("B")
    whole = len(view) & ~7
    for low, high in _EIGHT.iter_unpack(view[:whole]):
        low ^= register
        register = (
            t7[low & 0xFF]
            ^ t6[low >> 8 & 0xFF]
            ^ t5[low >> 16 & 0xFF]
            ^ t4[low >> 24]
            ^ t3[high & 0xFF]
            ^ t2[high >> 8 & 0xFF]
            ^ t1[high >> 16 & 0xFF]
            ^ t0[high >> 24]
        )
    for byte in view[whole:]:
        register = register >> 8 ^ t0[(register ^ byte) & 0xFF]
    return register


def crc32c(data: bytes | bytearray | memoryview) -> int:
    """The CRC-32C of RFC 3720: from 0xFFFFFFFF, inverted at the end. ``crc32c(b"123456789") == 0xE3069283``."""
    return crc32c_update(_MASK, data) ^ _MASK
