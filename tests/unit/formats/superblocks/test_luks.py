from __future__ import annotations

import json
import struct
from typing import Any

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.errors import FormatError
from bootpath.formats.superblocks.luks import Luks1Header, Luks2Header
from bootpath.formats.superblocks.lukssegments import parse_luks_metadata
from bootpath.formats.superblocks.registry import probe_superblocks
from tests.support.superblocks import device, head, seal_luks2

COPY = 16384


def probed(image: bytearray) -> Luks2Header:
    (found,) = probe_superblocks(device("luks2", image))
    assert isinstance(found, Luks2Header)
    return found


def test_the_golden_header() -> None:
    found = probed(head("luks2"))
    (segment,) = found.metadata.segments
    assert (segment.offset_bytes, segment.size_bytes, segment.encryption) == (16 << 20, None, "aes-xts-plain64")
    assert found.metadata.key_slots == (0,)
    assert (found.block_bytes, found.header_bytes, found.copy_fault) == (segment.sector_bytes, COPY, None)
    assert found.metadata.cipher == "aes-xts-plain64"


@pytest.mark.parametrize("place", [0, 100, 5000, 448])
def test_a_damaged_first_copy_leaves_the_second(place: int) -> None:
    image = head("luks2")
    image[place] ^= 1
    found = probed(image)
    assert (found.offset, found.uuid) == (COPY, probed(head("luks2")).uuid)
    assert found.copy_fault is not None


def test_a_damaged_second_copy_leaves_the_first() -> None:
    image = head("luks2")
    image[COPY + 5000] ^= 1
    found = probed(image)
    assert found.offset == 0
    assert "the second header, at 16384," in str(found.copy_fault)


def test_a_first_copy_that_was_wiped() -> None:
    image = head("luks2")
    image[:4096] = bytes(4096)
    found = probed(image)
    assert found.offset == COPY
    assert "the first header has the wrong magic or version; expected 4c554b53babe0002" in str(found.copy_fault)


def test_the_newer_copy_is_believed() -> None:
    image = head("luks2")
    sequence = struct.unpack_from(">Q", image, COPY + 16)[0]
    struct.pack_into(">Q", image, COPY + 16, sequence + 1)
    image[COPY + 24 : COPY + 30] = b"newer\0"
    seal_luks2(image, COPY)
    found = probed(image)
    assert (found.offset, found.label, found.sequence) == (COPY, "newer", sequence + 1)


def test_both_copies_damaged() -> None:
    image = head("luks2")
    image[100] ^= 1
    image[COPY + 100] ^= 1
    with pytest.raises(FormatError, match="crypto_LUKS: the checksum of the first header does not match"):
        probe_superblocks(device("luks2", image))


@pytest.mark.parametrize(
    ("offset", "code", "value", "message"),
    [
        (6, ">H", 3, "crypto_LUKS: the version is not supported; expected 1 or 2, found 3"),
        (8, ">Q", 2**62, "the first header has the wrong size; expected 16 KiB, 32 KiB … 4 MiB"),
        (8, ">Q", 8 << 20, "the first header has the wrong size"),
        (256, ">Q", 4096, "the offset in the first header is wrong; expected 0, found 4096"),
        (72, "32s", b"md5", "the first header has an unknown checksum algorithm"),
    ],
)
def test_fields_of_the_header(offset: int, code: str, value: int | bytes, message: str) -> None:
    image = head("luks2")
    struct.pack_into(code, image, offset, value)
    image[COPY : COPY + 4096] = bytes(4096)
    seal_luks2(image)
    with pytest.raises(FormatError, match=message):
        probe_superblocks(device("luks2", image))


def test_a_device_that_ends_in_the_header() -> None:
    with pytest.raises(FormatError, match="crypto_LUKS: the header, 12288 bytes at 4096, is outside the device"):
        probe_superblocks(MemoryDevice(bytes(head("luks2")[:8192])))


METADATA: dict[str, Any] = {
    "keyslots": {"1": {"type": "luks2"}, "0": {}},
    "tokens": {"0": {"type": "systemd-tpm2", "tpm2-pcrs": [7], "anything": {"at": None}}},
    "segments": {
        "0": {
            "type": "crypt",
            "offset": "32768",
            "size": "4096",
            "iv_tweak": "8",
            "encryption": "aes-gcm-random",
            "sector_size": 4096,
            "integrity": {"type": "aead"},
            "flags": ["backup-final"],
        },
        "10": {"type": "linear", "offset": "65536", "size": "dynamic"},
    },
    "digests": {},
    "config": {"json_size": "12288", "requirements": {"mandatory": ["online-reencrypt"]}},
}


def test_the_metadata() -> None:
    found = parse_luks_metadata(json.dumps(METADATA).encode())
    first, second = found.segments
    assert (first.offset_bytes, first.size_bytes, first.iv_tweak, first.integrity) == (32768, 4096, 8, "aead")
    assert (first.flags, second.kind, second.size_bytes) == (("backup-final",), "linear", None)
    assert (second.number, second.encryption, second.sector_bytes) == (10, "", 512)
    assert (found.key_slots, found.tokens) == ((0, 1), ("systemd-tpm2",))
    assert found.requirements == ("online-reencrypt",)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("segments",), {}, "there are no segments"),
        (("segments",), None, "segments is not an object; expected an object, found missing"),
        (("segments", "x"), {}, "a name in segments is"),
        (("segments", "0", "offset"), 32768, "offset is not a string; expected a string, found 32768"),
        (("segments", "0", "offset"), "-1", "offset is not a number; expected a decimal number of 64 bits, found '-1'"),
        (("segments", "0", "offset"), "9" * 20, "offset is not a number"),
        (("segments", "0", "size"), "all", "size is not a number"),
        (("segments", "0", "sector_size"), True, "sector_size is not valid"),
        (("segments", "0", "sector_size"), 513, "sector_size is not valid"),
        (("segments", "0", "flags"), [1], "flags is not an array of strings; expected an array of strings"),
        (("segments", "0", "integrity"), "aead", "integrity is not an object; expected an object, found 'aead'"),
        (("keyslots",), [], r"keyslots is not an object; expected an object, found \[\]"),
        (("tokens", "0"), {}, "type is not a string; expected a string, found missing"),
        (("config",), None, "config is not an object"),
    ],
)
def test_metadata_that_makes_no_sense(path: tuple[str, ...], value: object, message: str) -> None:
    metadata = json.loads(json.dumps(METADATA))
    place = metadata
    for name in path[:-1]:
        place = place[name]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    with pytest.raises(FormatError, match=f"crypto_LUKS: metadata: {message}"):
        parse_luks_metadata(json.dumps(metadata).encode())


def test_the_golden_luks1() -> None:
    (found,) = probe_superblocks(device("luks1"))
    assert isinstance(found, Luks1Header)
    assert (found.cipher, found.hash, found.key_bytes) == ("aes-xts-plain64", "sha256", 64)
    assert (found.payload_offset, found.key_slots) == (2 << 20, (0,))


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (108, 0, "the number of key bytes is out of range"),
        (108, 2**31, "the number of key bytes is out of range"),
        (208, 1, "the state of key slot 0 is not valid"),
        (208 + 40, 2**32 - 1, "key slot 0 ends inside the payload"),
        (8, 0, "the name of the cipher is empty"),
    ],
)
def test_fields_of_luks1(offset: int, value: int, message: str) -> None:
    image = head("luks1")
    struct.pack_into(">I", image, offset, value)
    with pytest.raises(FormatError, match=f"crypto_LUKS: {message}"):
        probe_superblocks(device("luks1", image))
