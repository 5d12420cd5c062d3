from __future__ import annotations

import struct

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.partitions.mbr import MbrPartition, parse_mbr_partitions
from bootpath.formats.partitions.protectivembr import pack_protective_mbr


def mbr(*records: tuple[int, int, int, int]) -> bytes:
    packed = b"".join(struct.pack("<B3xB3xII", *record) for record in records)
    return bytes(440) + b"\x3e\x0c\x5a\x0a\0\0" + packed.ljust(64, b"\0") + b"\x55\xaa"


def test_partitions() -> None:
    sector = mbr((0x80, 0xEA, 2048, 100), (0, 0, 0, 0), (0, 0x83, 2148, 7))
    assert parse_mbr_partitions(sector) == (
        MbrPartition(1, 0xEA, 2048, 100, "0a5a0c3e-01"),
        MbrPartition(3, 0x83, 2148, 7, "0a5a0c3e-03"),
    )
    assert parse_mbr_partitions(sector)[0].offset_bytes == 1 << 20


@pytest.mark.parametrize(
    "sector",
    [
        b"",
        bytes(512),
        mbr((1, 0xEA, 2048, 100)),
        mbr((0, 0xEA, 2048, 100), (0, 0x83, 2147, 1)),
        pack_protective_mbr(1000),
    ],
)
def test_what_is_refused(sector: bytes) -> None:
    with pytest.raises(FormatError):
        parse_mbr_partitions(sector)
