"""Vectors: IEEE 1619-2007, annex B (XTS-AES-128 vectors 2 and 4, XTS-AES-256 vector 10)."""

from __future__ import annotations

import errno
import sys

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.targets.crypt import Crypt
from bootpath.block.targets.sectorcipher import open_cipher
from bootpath.core.device import Identity, Segment, read_bytes
from bootpath.core.errors import DeviceError
from tests.support.errors import raises
from tests.support.patterns import pattern
from tests.unit.block.support import KIB, Counting

KEY = bytes(range(64))
SMALL = bytes.fromhex("2718281828459045235360287471352631415926535897932384626433832795")
# Vector 4: data unit sequence number 0, 512 bytes 00 01 … ff 00 …
VECTOR_4_START = "27a7479befa1d476489f308cd4cfa6e2a96e4bbe3208ff25287dd3819616e89c"


def crypt(lower: MemoryDevice, **more: int) -> Crypt:
    return Crypt(lower, open_cipher("aes-xts-plain64", KEY, where="sda"), **more)  # type: ignore[arg-type]


def test_vector_2_of_ieee_1619() -> None:
    cipher = open_cipher("aes-xts-plain64", b"\x11" * 16 + b"\x22" * 16, where="sda")
    found = cipher.encrypt(b"\x44" * 32, 32, 0x3333333333, 1)
    assert found.hex() == "c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0"


def test_vector_4_of_ieee_1619() -> None:
    cipher = open_cipher("aes-xts-plain64", SMALL, where="sda")
    plain = bytes(range(256)) * 2
    found = cipher.encrypt(plain, 512, 0, 1)
    assert found[:32].hex() == VECTOR_4_START
    assert cipher.decrypt(found, 512, 0, 1) == plain


def test_vector_10_of_ieee_1619() -> None:
    key = bytes.fromhex(
        "2718281828459045235360287471352662497757247093699959574966967627"
        "3141592653589793238462643383279502884197169399375105820974944592"
    )
    found = open_cipher("aes-xts-plain64", key, where="sda").encrypt(bytes(range(256)) * 2, 512, 0xFF, 1)
    assert found[:16].hex() == "1c3b3a102f770386e4836c99e370cf9b"


@pytest.mark.parametrize(("unit", "large"), [(512, False), (4096, False), (4096, True)])
def test_every_unit_has_its_own_iv(unit: int, large: bool) -> None:
    plain = pattern(0, 64 * KIB)
    lower = MemoryDevice(bytearray(64 * KIB))
    device = crypt(lower, sector_bytes=unit, large_ivs=large, iv_offset=16)
    device.write(0, plain)
    cipher = open_cipher("aes-xts-plain64", KEY, where="sda")
    for number, start in enumerate(range(0, 64 * KIB, unit)):
        iv = 16 // 8 + number if large else 16 + start // 512
        assert cipher.decrypt(read_bytes(lower, start, unit), unit, iv, 1) == plain[start : start + unit]
    assert read_bytes(device, 8 * KIB, 20 * KIB) == plain[8 * KIB : 28 * KIB]
    assert device.block_bytes == unit


def test_an_iv_number_has_64_bits() -> None:
    cipher = open_cipher("aes-xts-plain64", KEY, where="sda")
    assert cipher.encrypt(bytes(1024), 512, 2**64 - 1, 1)[512:] == cipher.encrypt(bytes(512), 512, 0, 1)


def test_discards_pass_only_when_allowed() -> None:
    for allowed in (False, True):
        lower = MemoryDevice(bytearray(b"\xff" * 8 * KIB))
        crypt(lower, allow_discards=allowed).discard(0, 4 * KIB)
        assert (read_bytes(lower, 0, 512) == bytes(512)) is allowed


def test_zeros_below_are_not_zeros_here() -> None:
    class Hole(MemoryDevice):
        def extents(self, offset, length):  # type: ignore[no-untyped-def]
            yield Segment(offset, length, "zero", allocated=False, zero=True)

    device = crypt(Hole(bytearray(8 * KIB)))
    assert list(device.extents(0, 8 * KIB)) == [Segment(0, 8 * KIB, "zero")]
    device.zero(512, 2 * KIB)
    assert read_bytes(device, 512, 2 * KIB) == bytes(2 * KIB)


def test_resident_when_it_is_below_and_small() -> None:
    lower = Counting(bytearray(64 * KIB))
    device = crypt(lower)
    assert device.read_resident(0, 512) is None
    lower.resident = True
    assert b"".join(device.read_resident(0, 512) or ()) == read_bytes(device, 0, 512)
    assert device.read_resident(0, 64 * KIB) is None


@pytest.mark.parametrize(
    ("cipher", "key", "code", "text"),
    [
        ("aes-cbc-essiv:sha256", KEY, errno.ENOTSUP, "this cipher is not supported"),
        ("serpent-xts-plain64", KEY, errno.ENOTSUP, "this cipher is not supported"),
        ("aes:64-xts-plain64", KEY, errno.ENOTSUP, "this cipher is not supported"),
        ("aes-xts-plain64", KEY[:48], errno.EINVAL, "the key has the wrong length"),
        ("aes-xts-plain64", b"", errno.EINVAL, "the key has the wrong length; .* found 0 bytes"),
        ("aes-xts-plain64", bytes(64), errno.EINVAL, "the two halves of the key are the same"),
    ],
)
def test_other_ciphers_and_keys_are_refused(cipher: str, key: bytes, code: int, text: str) -> None:
    with pytest.raises(DeviceError, match=text) as caught:
        open_cipher(cipher, key, where="sda")
    assert caught.value.errno == code
    assert not key or key.hex() not in str(caught.value)


def test_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers", None)
    with pytest.raises(DeviceError, match=r"pip install 'bootpath\[crypt\]'") as caught:
        open_cipher("aes-xts-plain64", KEY, where="sda")
    assert caught.value.errno == errno.ENOPKG


def test_a_size_that_is_no_whole_number_of_units() -> None:
    with raises(DeviceError, where="crypt(sda)", found="2560 bytes", expected="a multiple of 4096"):
        crypt(MemoryDevice(bytearray(2560), identity=Identity("sda")), sector_bytes=1024)
