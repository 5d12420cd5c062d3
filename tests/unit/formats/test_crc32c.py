"""CRC-32C against the vectors of RFC 3720 B.4 and a bitwise model."""

from __future__ import annotations

from random import Random

import pytest

from bootpath.formats.crc32c import POLYNOMIAL, crc32c, crc32c_update


def bitwise(register: int, data: bytes) -> int:
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (POLYNOMIAL if register & 1 else 0)
    return register


# RFC 3720 B.4, whose bytes are in the order they are sent.
@pytest.mark.parametrize(
    ("data", "sent"),
    [
        (bytes(32), "aa36918a"),
        (b"\xff" * 32, "43aba862"),
        (bytes(range(32)), "4e79dd46"),
        (bytes(reversed(range(32))), "5cdb3f11"),
        (b"123456789", "839206e3"),
        (b"", "00000000"),
    ],
)
def test_vectors(data: bytes, sent: str) -> None:
    assert crc32c(data).to_bytes(4, "little").hex() == sent


def test_equals_the_bitwise_model_and_can_be_continued() -> None:
    random = Random(1)
    for _ in range(200):
        data = random.randbytes(random.randrange(70))
        start = random.getrandbits(32)
        cut = random.randrange(len(data) + 1)
        assert crc32c_update(start, data) == bitwise(start, data)
        assert crc32c_update(crc32c_update(start, data[:cut]), memoryview(data)[cut:]) == bitwise(start, data)
