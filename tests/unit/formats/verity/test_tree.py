"""Digests of blocks, natively and by hashlib; tables of the target; what a superblock must not say."""

from __future__ import annotations

import hashlib
import struct
from random import Random

import pytest

from bootpath import _native
from bootpath.core.errors import FormatError
from bootpath.formats.dm.table import TableLine
from bootpath.formats.dm.targets import device_names
from bootpath.formats.dm.verity import VerityFec, VerityTarget
from bootpath.formats.verity.fec import FecParameters
from bootpath.formats.verity.tree import ALGORITHMS, BlockHasher, VerityParameters, parse_verity_superblock


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("hash_type", [0, 1])
@pytest.mark.parametrize("salt_bytes", [0, 1, 32, 63, 64, 256])
def test_native_digests_are_hashlib_s(algorithm: str, hash_type: int, salt_bytes: int) -> None:
    random = Random(salt_bytes)
    parameters = VerityParameters(1, algorithm, random.randbytes(salt_bytes), hash_type=hash_type)
    native, model = BlockHasher(parameters), BlockHasher(parameters, native=False)
    for size in (1, 55, 56, 64, 512, 4096):
        content = random.randbytes(5 * size)
        assert native.packed(content, size) == model.packed(content, size)
        assert native.digests(memoryview(bytearray(content)), size) == model.digests(content, size)
    block = content[:4096]
    message = parameters.salt + block if hash_type else block + parameters.salt
    assert native.digest(block) == hashlib.new(algorithm, message).digest()


def test_the_native_kernel_refuses_what_it_cannot() -> None:
    for content, size, algorithm in ((bytes(10), 4, "sha256"), (bytes(4), 0, "sha256"), (bytes(4), 4, "sha512")):
        with pytest.raises(ValueError, match="the "):
            _native.block_digests(content, size, b"", algorithm, True)
    assert _native.block_digests(b"", 512, b"", "sha1", True) == b""
    assert set(_native.fast_digests()) <= {"sha1", "sha224", "sha256"}


ROOT = "ab" * 32
ARGS = ("1", "/dev/a", "/dev/b", "4096", "4096", "1000", "1", "sha256", ROOT, "-")
FEC = ("use_fec_from_device", "/dev/c", "fec_blocks", "1009", "fec_start", "3", "fec_roots", "2")


def test_lines_are_as_dmsetup_prints_them() -> None:
    target = VerityTarget(
        *("/dev/a", "/dev/b", VerityParameters(1000), 1, bytes.fromhex(ROOT), ("ignore_zero_blocks",)),
        fec=VerityFec("/dev/c", FecParameters(1009, 4096, 2), 3),
        signature_key="some:key",
    )
    words = (*ARGS, "11", "ignore_zero_blocks", *FEC, "root_hash_sig_key_desc", "some:key")
    assert target.pack() == words
    assert VerityTarget.parse(words) == target
    assert device_names(TableLine(0, 8, "verity", words)) == ("/dev/a", "/dev/b", "/dev/c")


def test_options_come_in_any_order() -> None:
    words = ("fec_roots", "2", "check_at_most_once", "fec_blocks", "1009", "use_fec_from_device", "/dev/c")
    target = VerityTarget.parse((*ARGS, str(len(words)), *words))
    assert target.fec == VerityFec("/dev/c", FecParameters(1009, 4096, 2))
    assert target.options == ("check_at_most_once",)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("use_fec_from_device",), "option use_fec_from_device has no value"),
        (("use_fec_from_device", "/dev/c"), "FEC is described in part"),
        (("fec_roots", "2", "fec_blocks", "1009"), "FEC is described in part"),
        (("fec_start", "0"), "FEC is described in part"),
        ((*FEC, "fec_start", "3"), "option fec_start is given twice"),
        ((*FEC[:-1], "25"), "fec_roots is out of range"),
        ((*FEC[:-1], "1"), "fec_roots is out of range"),
        ((*FEC[:3], "1008", *FEC[4:]), "at least 1009"),
        ((*FEC[:3], "9" * 19, *FEC[4:]), "fec_blocks is"),
        ((*FEC[:5], "9" * 18, *FEC[6:]), "the FEC area ends too late"),
        ((*FEC[:5], "-3", *FEC[6:]), "fec_start is not a number"),
        (("root_hash_sig_key_desc",), "option root_hash_sig_key_desc has no value"),
        (("ignore_corruption", "panic_on_corruption"), "at most one of"),
        (("restart_on_error", "panic_on_error"), "at most one of"),
        (("ignore_corruption", "ignore_corruption"), "at most once"),
        (("no_such_option",), "there is no such option"),
    ],
)
def test_options_that_linux_refuses(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        VerityTarget.parse((*ARGS, str(len(words)), *words))


def test_parity_wants_equal_blocks() -> None:
    args = (*ARGS[:3], "1024", *ARGS[4:])
    with pytest.raises(FormatError, match="hash_block_size"):
        VerityTarget.parse((*args, "8", *FEC))


@pytest.mark.parametrize("text", ["ab" * 31, "ab" * 33, "ab" * 31 + " a", "xy" * 32])
def test_root_hashes_that_are_none(text: str) -> None:
    with pytest.raises(FormatError):
        VerityTarget.parse((*ARGS[:8], text, "-"))


def superblock(**changes: int | bytes) -> bytes:
    fields: dict[str, int | bytes] = {
        "magic": b"verity\0\0",
        "version": 1,
        "hash_type": 1,
        "uuid": bytes(16),
        "algorithm": b"sha256",
        "data_block_size": 4096,
        "hash_block_size": 4096,
        "data_blocks": 1000,
        "salt_size": 0,
        "salt": b"",
    }
    return struct.pack("<8sII16s32sIIQH6x256s168x", *{**fields, **changes}.values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        # barebox crashes for the first
        ({"data_block_size": 513}, "data_block_size is not valid"),
        ({"data_block_size": 0}, "data_block_size is not valid"),
        ({"hash_block_size": 256}, "hash_block_size is not valid"),
        ({"hash_block_size": 1 << 31}, "hash_block_size is"),
        ({"data_blocks": 0}, "data_blocks is out of range"),
        ({"data_blocks": 1 << 63}, "data_blocks is"),
        ({"data_blocks": (1 << 51) - 1}, None),
        ({"data_blocks": 1 << 51}, "data_blocks is"),
        ({"salt_size": 257}, "the superblock's salt_size is too large"),
        ({"hash_type": 2}, "hash_type is unknown"),
        ({"version": 0}, "the superblock's version is unknown"),
        ({"algorithm": b"sha999"}, "algorithm is"),
        ({"algorithm": b"sha256\0x"}, "algorithm is"),
        ({"algorithm": b"\xff"}, "algorithm is"),
        ({"magic": b"verity\0\1"}, "magic is"),
    ],
)
def test_superblocks_that_lie(changes: dict[str, int | bytes], message: str | None) -> None:
    if message is None:
        parse_verity_superblock(superblock(**changes))
        return
    with pytest.raises(FormatError, match=message):
        parse_verity_superblock(superblock(**changes))
    with pytest.raises(FormatError, match="superblock has"):
        parse_verity_superblock(superblock()[:-1])
