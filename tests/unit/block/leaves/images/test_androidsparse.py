from __future__ import annotations

from zlib import crc32

import pytest

from bootpath.block.leaves.images.androidsparse import AndroidSparseDevice, open_android_sparse
from bootpath.core.device import Segment, read_bytes
from bootpath.core.errors import FormatError
from tests.unit.formats.diskimages.test_androidsparse import CRC, FILL, RAW, SKIP, image

CONTENT = bytes(range(256)) * 4 + b"abcd" * 512 + bytes(1024)


def opened(*, inner: int | None = None, whole: int = 0) -> AndroidSparseDevice:
    checks = [] if inner is None else [(CRC, 0, inner.to_bytes(4, "little"))]
    region = image((RAW, 1, CONTENT[:1024]), (FILL, 2, b"abcd"), *checks, (SKIP, 1, b""), crc=whole)
    return open_android_sparse(region.device, region, (), None)


def test_any_part_of_it() -> None:
    device = opened()
    assert device.size_bytes == len(CONTENT)
    for at in range(0, 4096, 512):
        for end in range(at + 512, 4097, 512):
            assert read_bytes(device, at, end - at) == CONTENT[at:end]
    assert list(device.extents(0, 4096)) == [
        Segment(0, 3072, "file"),
        Segment(3072, 1024, "file", allocated=False, zero=True),
    ]


def test_its_checksums_are_compared() -> None:
    device = opened(inner=crc32(CONTENT[:3072]), whole=crc32(CONTENT))
    assert device.disk_images[0].detail == "3 chunks, CRC-32 verified"


@pytest.mark.parametrize(("inner", "whole"), [(1, crc32(CONTENT)), (crc32(CONTENT[:3072]), 1)])
def test_a_checksum_that_does_not_match(inner: int, whole: int) -> None:
    with pytest.raises(FormatError, match="the CRC-32 of the first"):
        opened(inner=inner, whole=whole)


def test_blocks_that_are_no_sectors() -> None:
    region = image((FILL, 1, b"wxyz"), (SKIP, 2, b""), (FILL, 1, b"abcd"), block=300)
    device = open_android_sparse(region.device, region, (), None)
    whole = b"wxyz" * 75 + bytes(600) + b"abcd" * 75
    assert (device.size_bytes, device.padding_bytes) == (1536, 336)
    assert read_bytes(device, 0, 1536) == whole + bytes(336)
    assert read_bytes(device, 512, 512) == (whole + bytes(336))[512:1024]
    assert sum(each.length for each in device.extents(0, 1536)) == 1536
