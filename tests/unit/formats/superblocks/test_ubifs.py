"""The superblock of UBIFS: each field that is out of range is refused. mkfs.ubifs writes those of test_open."""

from __future__ import annotations

import struct

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.errors import FormatError
from bootpath.formats.region import Region
from bootpath.formats.superblocks.ubifs import UbifsSuperblock, probe_ubifs
from bootpath.formats.superblocks.value import Checksum
from tests.support.ubifsimage import LEB_BYTES, LEBS, sealed, superblock


def probe(node: bytes) -> UbifsSuperblock | None:
    return probe_ubifs(Region(MemoryDevice(node.ljust(8192, b"\xff"))))


def test_a_sound_one() -> None:
    found = probe(superblock(flags=4, version=5, most=99))
    assert found is not None
    assert (found.kind, found.version, found.checksum) == ("ubifs", "w5r0", Checksum.VALID)
    assert (found.size_bytes, found.leb_bytes, found.lebs, found.max_lebs) == (LEBS * LEB_BYTES, LEB_BYTES, LEBS, 99)
    assert (found.log_lebs, found.lpt_lebs, found.orphan_lebs, found.main_first, found.heads) == (2, 2, 1, 8, 3)
    assert found.uuid == "75756964-206f-6620-616e-20696d616765"


def test_something_else() -> None:
    assert probe(b"\0" * 4096) is None
    assert probe_ubifs(Region(MemoryDevice(superblock()[:2048]))) is None


@pytest.mark.parametrize(
    ("place", "value", "why"),
    [
        (32, 0, "the size of the smallest write"),
        (32, 12, "the size of the smallest write"),
        (36, 8192, "the size of a logical eraseblock is out of range"),
        (36, 1 << 30, "the size of a logical eraseblock is out of range"),
        (36, LEB_BYTES + 4, "the size of a logical eraseblock is not one of whole writes"),
        (40, 0, "the number of logical eraseblocks"),
        (40, 8, "the areas are larger than the file system"),
        (44, 3, "the largest number of logical eraseblocks"),
        (44, 1 << 31, "the largest number of logical eraseblocks"),
        (56, 1, "the log is too small, or too large"),
        (60, 1 << 31, "the LEB properties area"),
        (64, 0, "the orphan area"),
        (68, 2, "the number of journal heads"),
    ],
)
def test_fields_out_of_range(place: int, value: int, why: str) -> None:
    node = bytearray(superblock())
    struct.pack_into("<I", node, place, value)
    with pytest.raises(FormatError, match=f"ubifs: {why}"):
        probe(sealed(bytes(node)))


@pytest.mark.parametrize(
    ("place", "value", "why"),
    [
        (20, 5, "the first node is not a superblock node; expected type 6"),
        (26, 2, "the hash of the keys"),
        (27, 1, "the format of the keys"),
    ],
)
def test_bytes_that_are_not_known(place: int, value: int, why: str) -> None:
    node = bytearray(superblock())
    node[place] = value
    with pytest.raises(FormatError, match=f"ubifs: {why}"):
        probe(sealed(bytes(node)))


def test_a_flipped_bit() -> None:
    for place in (*range(4, 300, 3), 4095):
        node = bytearray(superblock())
        node[place] ^= 1
        with pytest.raises(FormatError, match="ubifs"):
            probe(bytes(node))
