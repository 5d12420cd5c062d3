"""LZO1X: instructions written by hand, each kind of them, and what the reference library writes."""

from __future__ import annotations

import ctypes
import ctypes.util
from random import Random

import pytest

from bootpath.core.errors import FormatError
from bootpath.fs.readers.lzo1x import decompress_lzo1x as decompress
from tests.support.tools import missing

END = "110000"


@pytest.mark.parametrize(
    ("stream", "data"),
    [
        (END, b""),
        ("14616263" + END, b"abc"),
        ("1561626364" + END, b"abcd"),
        ("0161626364" + END, b"abcd"),
        ("00" + "03" + "61" * 21 + END, b"a" * 21),
        ("000001" + "61" * 274 + END, b"a" * 274),
        # 01LDDDSS: four bytes from three back, and a literal
        ("1461626369007a"[:8] + "69007a" + END, b"abcabcaz"),
        # 1LLDDDSS: eight bytes from one back
        ("1261" + "e000" + END, b"a" * 9),
        # 0000DDSS after three literals: two bytes from two back
        ("14616263" + "0400" + END, b"abcbc"),
        # 001LLLLL: 2 + 31 + 2 bytes from one back
        ("1261" + "20020000" + END, b"a" * 36),
    ],
)
def test_vectors(stream: str, data: bytes) -> None:
    assert decompress(bytes.fromhex(stream), 1000) == data
    for length in range(len(data)):
        assert decompress(bytes.fromhex(stream), length) == data[:length]


def test_far_matches() -> None:
    """0000DDSS behind a long run, and 0001HLLL: from more than 2 KiB, and more than 16 KiB, back."""
    noise = Random(4).randbytes(40_000)
    zeros, rest = divmod(len(noise) - 3 - 15 - 1, 255)
    run = b"\0" + bytes(zeros) + bytes([rest + 1]) + noise
    near = bytes([0b0000_10_00, 5])
    assert decompress(run + near + bytes.fromhex(END), 50_000) == noise + noise[-2049 - 2 - 20 :][:3]
    far = bytes([0b0001_1_010]) + (1234 << 2).to_bytes(2, "little")
    assert decompress(run + far + bytes.fromhex(END), 50_000) == noise + noise[-16384 - 16384 - 1234 :][:4]


def library() -> ctypes.CDLL:
    try:
        return ctypes.CDLL("liblzo2.so.2")
    except OSError:
        missing("liblzo2, which mkfs.ubifs brings, is not installed")


@pytest.mark.parametrize(("function", "work_bytes"), [("lzo1x_1_compress", 1 << 20), ("lzo1x_999_compress", 1 << 20)])
def test_what_the_library_writes(function: str, work_bytes: int) -> None:
    compress = getattr(library(), function)
    random = Random(9)
    work = ctypes.create_string_buffer(work_bytes)
    for turn in range(120):
        words = [random.randbytes(random.randint(1, 40)) for _ in range(random.choice((1, 3, 50, 3000)))]
        data = b"".join(random.choice(words) * random.choice((1, 1, 1, 300)) for _ in range(random.randrange(200)))
        data = data[: random.choice((4096, 100_000))]
        out = ctypes.create_string_buffer(len(data) * 2 + 1000)
        length = ctypes.c_size_t(len(out))
        assert compress(data, ctypes.c_size_t(len(data)), out, ctypes.byref(length), work) == 0
        packed = out.raw[: length.value]
        assert decompress(packed, len(data)) == data, turn
        assert decompress(packed, len(data) + 9) == data
        cut = random.randrange(len(data) + 1)
        assert decompress(packed, cut) == data[:cut]


@pytest.mark.parametrize(
    ("stream", "why"),
    [
        ("", "ends in the middle of an instruction"),
        ("14616263", "ends in the middle of an instruction"),
        ("1461", "the literals go past the end"),
        ("0161", "the literals go past the end"),
        ("1261" + "e0", "ends in the middle of an instruction"),
        ("1261" + "e008", "a match begins before the output"),
        ("1261" + "230300", "the literals go past the end"),
        ("0000000000", "ends in the middle of an instruction"),
        ("10" + "0400" + END, "a match begins before the output"),
    ],
)
def test_damage(stream: str, why: str) -> None:
    with pytest.raises(FormatError, match=f"lzo: .*{why}"):
        decompress(bytes.fromhex(stream), 1000)


def test_a_bomb_gives_no_more_than_asked_for() -> None:
    assert decompress(b"\x12a" + b" " + bytes(100_000) + b"\x01\0\0" + bytes.fromhex(END), 5000) == b"a" * 5000
