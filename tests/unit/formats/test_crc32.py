from __future__ import annotations

from random import Random
from zlib import crc32

import pytest

from bootpath.formats.crc32 import combine_crc32, repeated_crc32


@pytest.mark.parametrize("lengths", [(0, 0), (1, 0), (0, 1), (3, 5), (1000, 4097)])
def test_of_two_runs(lengths: tuple[int, int]) -> None:
    first, second = (Random(1).randbytes(length) for length in lengths)
    assert combine_crc32(crc32(first), crc32(second), len(second)) == crc32(first + second)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 255, 1000])
def test_of_repetitions(count: int) -> None:
    assert repeated_crc32(b"\x12\x34\0\xff", count) == crc32(b"\x12\x34\0\xff" * count)


def test_a_length_costs_nothing() -> None:
    half = repeated_crc32(bytes(4), 1 << 60)
    assert repeated_crc32(bytes(4), 1 << 61) == combine_crc32(half, half, 4 << 60)
