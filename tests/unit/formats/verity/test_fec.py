"""The Reed-Solomon code: as another library has it, and what it can mend."""

from __future__ import annotations

from random import Random

import pytest
import reedsolo  # type: ignore[import-untyped] # it has no annotations

from bootpath import _native
from bootpath.core.errors import FormatError
from bootpath.formats.verity.fec import FecParameters, encode_parity, repair_codewords

WIDTH = 40
ROOTS = pytest.mark.parametrize("roots", [2, 3, 7, 24])


def message_of(roots: int, width: int = WIDTH) -> bytes:
    return Random(roots).randbytes((255 - roots) * width)


@ROOTS
def test_fec_is_that_of_another_library(roots: int) -> None:
    message = message_of(roots)
    codec = reedsolo.RSCodec(roots, nsize=255, fcr=0, prim=0x11D, generator=2)
    expected = b"".join(bytes(codec.encode(message[column::WIDTH])[-roots:]) for column in range(WIDTH))
    assert encode_parity(message, roots) == expected


@pytest.mark.parametrize("width", [0, 1, 31, 32, 33, 1023, 1024, 1025, 2500])
@pytest.mark.parametrize("roots", [2, 24])
def test_the_native_kernel_is_the_model(roots: int, width: int) -> None:
    message = message_of(roots, width)
    assert _native.rs_parity(message, roots) == (encode_parity(message, roots) if width else b"")
    assert _native.rs_parity(memoryview(bytearray(message)), roots) == _native.rs_parity(message, roots)


def test_the_native_kernel_refuses_what_is_no_message() -> None:
    for message, roots in ((bytes(254), 2), (bytes(255), 0), (bytes(254), 1), (bytes(230), 25)):
        with pytest.raises(ValueError, match="the message is not"):
            _native.rs_parity(message, roots)


@ROOTS
def test_repairs_as_much_as_the_code_allows(roots: int) -> None:
    random = Random(roots)
    message = message_of(roots)
    parity = encode_parity(message, roots)
    for erasures in range(0, roots + 1, max(roots // 5, 1)):
        broken, stored = bytearray(message), bytearray(parity)
        erased = random.sample(range(255 - roots), erasures)
        for row in erased:
            broken[row * WIDTH : (row + 1) * WIDTH] = random.randbytes(WIDTH)
        for column in range(0, WIDTH, 3):
            free = [row for row in range(255) if row not in erased]
            for row in random.sample(free, (roots - erasures) // 2):
                if row < 255 - roots:
                    broken[row * WIDTH + column] ^= random.randrange(1, 256)
                else:
                    stored[column * roots + row - (255 - roots)] ^= random.randrange(1, 256)
        assert repair_codewords(bytes(broken), bytes(stored), roots, erased) == message


@ROOTS
def test_beyond_its_limit_it_never_gives_back_the_message(roots: int) -> None:
    message = message_of(roots)
    parity = encode_parity(message, roots)
    broken = bytearray(message)
    for row in range(roots // 2 + 1):
        broken[row * WIDTH : (row + 1) * WIDTH] = bytes(WIDTH)
    assert repair_codewords(bytes(broken), parity, roots) != message
    assert repair_codewords(message, parity, roots, range(roots + 1)) is None


def test_without_thoroughness_nothing_else_may_be_wrong() -> None:
    message = message_of(4)
    parity = encode_parity(message, 4)
    broken = bytearray(message)
    broken[5] ^= 1
    assert repair_codewords(bytes(broken), parity, 4, [0], thorough=False) == message
    assert repair_codewords(bytes(broken), parity, 4, [1], thorough=False) is None
    assert repair_codewords(bytes(broken), parity, 4, [1]) == message


def test_shapes() -> None:
    shape = FecParameters(1009, 4096, 2)
    assert (shape.symbols, shape.rounds, shape.parity_bytes) == (253, 4, 32768)
    assert [shape.place(block) for block in (0, 3, 4, 1008)] == [(0, 0), (3, 0), (0, 1), (0, 252)]
    for blocks, roots in ((0, 2), (-1, 2), (1, 1), (1, 25), (1 << 60, 2)):
        with pytest.raises(FormatError):
            FecParameters(blocks, 4096, roots)
