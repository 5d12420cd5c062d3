"""LZ4 blocks: sequences written by hand, and by an encoder. What lz4 itself wrote is in the golden images."""

from __future__ import annotations

from random import Random

import pytest

from bootpath.core.errors import FormatError
from bootpath.fs.readers.lz4block import decompress_lz4_block as decompress


def _length(count: int) -> bytes:
    """What follows a token's half of 15."""
    return b"\xff" * ((count - 15) // 255) + bytes([(count - 15) % 255])


def sequence(literals: bytes, match: tuple[int, int] | None) -> bytes:
    """One sequence; `match` is (distance, length), None in the last one."""
    high = min(len(literals), 15)
    low = 0 if match is None else min(match[1] - 4, 15)
    out = bytes([high << 4 | low]) + (_length(len(literals)) if high == 15 else b"") + literals
    if match is not None:
        out += match[0].to_bytes(2, "little") + (_length(match[1] - 4) if low == 15 else b"")
    return out


@pytest.mark.parametrize(
    ("block", "data"),
    [
        ("00", b""),
        ("3061626300"[:8], b"abc"),
        ("1161010000", b"a" + b"a" * 5),
        ("3f6162630300" + "00" + "1064", (b"abc" * 8)[: 3 + 19] + b"d"),
    ],
)
def test_vectors(block: str, data: bytes) -> None:
    assert decompress(bytes.fromhex(block), 1000) == data


def test_equals_the_model() -> None:
    random = Random(1)
    for _ in range(150):
        data = b""
        block = b""
        for _ in range(random.randrange(12)):
            literals = random.randbytes(random.choice((0, 1, 14, 15, 16, 270, 300)) or (0 if data else 1))
            data += literals
            distance = random.randint(1, min(len(data), 65535))
            count = random.choice((4, 5, 18, 19, 20, 273, 274, 600))
            block += sequence(literals, (distance, count))
            for _ in range(count):
                data += data[-distance : len(data) - distance + 1]
        tail = random.randbytes(random.choice((0, 5, 15, 20)))
        block += sequence(tail, None)
        data += tail
        assert decompress(block, len(data)) == data
        assert decompress(block, len(data) + 100) == data
        cut = random.randrange(len(data) + 1)
        assert decompress(block + b"rest", cut) == data[:cut], "it stops where it is told to"


@pytest.mark.parametrize(
    ("block", "match"),
    [
        ("", "in the middle"),
        ("50616263", "past the end"),
        ("f0", "in the middle"),
        ("f0ffff", "in the middle"),
        ("1061", None),
        ("106101", "in the middle"),
        ("10610000", "before the output"),
        ("10610200", "before the output"),
        ("1f610100", "in the middle"),
    ],
)
def test_damage(block: str, match: str | None) -> None:
    data = bytes.fromhex(block)
    if match is None:
        assert decompress(data, 10) == b"a"
        return
    with pytest.raises(FormatError, match=match):
        decompress(data, 10)


def test_a_bomb_is_no_larger_than_asked_for() -> None:
    bomb = sequence(b"a", (1, 4 + 255 * 100_000))
    assert decompress(bomb, 5000) == b"a" * 5000
