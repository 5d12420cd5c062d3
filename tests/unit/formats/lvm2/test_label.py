from __future__ import annotations

import struct

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.targets.fault import Fault, parse_rules
from bootpath.core.errors import DeviceError, FormatError
from bootpath.formats.lvm2.label import lvm_crc, probe_lvm2, read_lvm2
from bootpath.formats.superblocks.registry import probe_superblocks
from tests.support.errors import raises
from tests.support.lvmdisk import (
    AREA_OFFSET,
    disk,
    group,
    logical,
    physical,
    put_area,
    put_area_header,
    put_label,
    segment,
    uuid,
)

SIZE = 16384
TEXT = group({"pv0": physical(1, 10)}, {"lv": logical(10, segment(0, 1, "pv0", 0))})


def newer(seqno: int) -> str:
    return group({"pv0": physical(1, 10)}, {}, seqno=seqno)


def read(image: bytearray) -> MemoryDevice:
    return MemoryDevice(bytes(image))


def test_a_checksum_from_the_facts() -> None:
    assert lvm_crc(b"") == 0xF597A6CF


def test_a_volume_with_one_text() -> None:
    device = read(disk(1, TEXT))
    assert probe_lvm2(device)
    member = read_lvm2(device)
    assert (member.label.uuid, member.label.sector, member.faults) == (uuid(1), 1, ())
    assert member.group is not None
    assert member.group.logical_volumes[0].name == "lv"
    (found,) = probe_superblocks(device)
    assert (found.kind, found.uuid, found.offset, found.size_bytes) == ("LVM2_member", uuid(1), 512, 1 << 18)


def test_a_volume_without_metadata() -> None:
    member = read_lvm2(read(disk(1, None)))
    assert (member.label.uuid, member.group, member.faults) == (uuid(1), None, ())


def test_no_volume_at_all() -> None:
    for device in (MemoryDevice(4096), MemoryDevice(512), MemoryDevice(b"LABELONE".ljust(512, b"x"))):
        assert not probe_lvm2(device)
        with pytest.raises(FormatError, match="lvm2: there is no label in the first four sectors"):
            read_lvm2(device)


@pytest.mark.parametrize("sector", range(4))
def test_the_label_may_be_in_four_sectors(sector: int) -> None:
    image = disk(1, TEXT)
    image[512:1024] = bytes(512)
    put_label(image, uuid(1), [(AREA_OFFSET, SIZE)], sector=sector)
    assert read_lvm2(read(image)).label.sector == sector
    image[sector * 512 : sector * 512 + 512] = bytes(512)
    put_label(image, uuid(1), [(AREA_OFFSET, SIZE)], sector=sector, own=sector + 1)
    where = f"lvm2: label in sector {sector}"
    with raises(FormatError, where=where, found=sector + 1, expected=sector):
        read_lvm2(read(image))


def test_a_damaged_label_before_a_sound_one() -> None:
    image = disk(1, TEXT)
    image[0:512] = image[512:1024]
    assert read_lvm2(read(image)).label.sector == 1


@pytest.mark.parametrize("place", [16, 20, 32, 100, 511])
def test_a_flipped_bit_in_the_label(place: int) -> None:
    image = disk(1, TEXT)
    image[512 + place] ^= 4
    with pytest.raises(FormatError, match="label in sector 1: the CRC of the label does not match"):
        read_lvm2(read(image))


@pytest.mark.parametrize("place", range(512, SIZE, 2111))
def test_the_ring_wraps(place: int) -> None:
    for at in (place, SIZE - 1, SIZE - len(TEXT), SIZE - len(TEXT) - 1):
        member = read_lvm2(read(disk(1, TEXT, place=at)))
        assert member.faults == ()
        assert member.group is not None
        assert member.group.logical_volumes[0].segments[0].extents == 1


def test_the_text_with_the_highest_number_is_first() -> None:
    image = disk(1, None)
    put_label(image, uuid(1), [(AREA_OFFSET, SIZE), (1 << 17, SIZE)])
    for first, second in ((3, 4), (4, 3), (4, 4)):
        put_area(image, AREA_OFFSET, SIZE, newer(first))
        put_area(image, 1 << 17, SIZE, newer(second))
        member = read_lvm2(read(image))
        assert [found.seqno for found in member.groups] == sorted((first, second), reverse=True)


def test_one_damaged_area_leaves_the_other() -> None:
    image = disk(1, None)
    put_label(image, uuid(1), [(AREA_OFFSET, SIZE), (1 << 17, SIZE)])
    put_area(image, AREA_OFFSET, SIZE, newer(9))
    put_area(image, 1 << 17, SIZE, newer(8))
    image[AREA_OFFSET + 600] ^= 1
    member = read_lvm2(read(image))
    assert member.group is not None
    assert member.group.seqno == 8
    (fault,) = member.faults
    assert str(fault).startswith("lvm2: metadata area at 4096: the CRC of the text does not match; expected 0x529e8012")


def test_an_ignored_or_empty_area() -> None:
    image = disk(1, TEXT)
    put_area(image, AREA_OFFSET, SIZE, TEXT, flags=1)
    assert read_lvm2(read(image)).group is None
    put_area_header(image, AREA_OFFSET, SIZE, [])
    assert read_lvm2(read(image)).groups == ()


@pytest.mark.parametrize("place", [0, 3, 4, 20, 24, 40, 511])
def test_a_flipped_bit_in_the_areas_header(place: int) -> None:
    image = disk(1, TEXT)
    image[AREA_OFFSET + place] ^= 1
    member = read_lvm2(read(image))
    assert member.group is None
    assert "metadata area at 4096: the " in str(member.faults[0])


@pytest.mark.parametrize("size", [0, 512, SIZE, 1 << 62, 2**64 - 1])
@pytest.mark.parametrize(
    "text", [(512, 2**64 - 1), (2**63, 10), (SIZE - 1, SIZE), (511, 10), (512, 0), (513, 16 << 20)]
)
def test_hostile_areas(size: int, text: tuple[int, int]) -> None:
    """Nothing is read or kept that is larger than the ring, nor out of the device."""
    image = disk(1, TEXT)
    put_area_header(image, AREA_OFFSET, size, [(*text, 0, 0)])
    member = read_lvm2(read(image))
    assert member.group is None
    assert len(member.faults) == 1


@pytest.mark.parametrize("area", [(2**63, 4096), (2**64 - 512, 2**64 - 1), (1 << 18, 512), ((1 << 18) - 511, 1 << 20)])
def test_areas_out_of_the_device(area: tuple[int, int]) -> None:
    image = disk(1, TEXT)
    put_label(image, uuid(1), [area])
    (fault,) = read_lvm2(read(image)).faults
    assert f"the header, 512 bytes at {area[0]}, is outside the device" in str(fault)


def test_headers_that_lie() -> None:
    for more, message in (
        ({"start": 0}, "the offset in the metadata area's header is wrong; expected 4096, found 0"),
        ({"version": 2}, "the version of the metadata area is unknown; expected 1, found 2"),
        ({"magic": b"x" * 16}, "the magic of the metadata area is wrong"),
    ):
        image = disk(1, TEXT)
        put_area_header(image, AREA_OFFSET, SIZE, [(512, 10, 0, 0)], **more)
        assert message in str(read_lvm2(read(image)).faults[0])


def test_more_areas_than_there_may_be() -> None:
    image = disk(1, TEXT)
    put_label(image, uuid(1), [(AREA_OFFSET, SIZE)] * 3)
    with raises(FormatError, found=3, expected="at most 2"):
        read_lvm2(read(image))
    put_label(image, uuid(1), [(AREA_OFFSET, SIZE)] * 100)
    with pytest.raises(FormatError, match="metadata areas: the list does not end"):
        read_lvm2(read(image))


def test_a_pv_header_outside_the_label() -> None:
    image = disk(1, TEXT)
    for offset in (0, 31, 500, 2**32 - 1):
        struct.pack_into("<I", image, 512 + 20, offset)
        struct.pack_into("<I", image, 512 + 16, lvm_crc(bytes(image[512 + 20 : 1024])))
        with raises(FormatError, found=offset, expected="a place in the label's sector"):
            read_lvm2(read(image))


def test_text_that_is_not_utf8_is_a_fault_not_a_crash() -> None:
    image = disk(1, TEXT)
    raw = b"\xff\xfe{}\0"
    image[AREA_OFFSET + 512 : AREA_OFFSET + 512 + len(raw)] = raw
    put_area_header(image, AREA_OFFSET, SIZE, [(512, len(raw), lvm_crc(raw), 0)])
    assert "begins nothing" in str(read_lvm2(read(image)).faults[0])


@pytest.mark.parametrize("kind", ["error", "short"])
def test_every_read_may_fail(kind: str) -> None:
    """No version of the metadata is believed newest when one could not be read."""
    image = disk(1, TEXT, place=SIZE - 100, size=1 << 19)
    put_label(image, uuid(1), [(AREA_OFFSET, SIZE), (1 << 18, SIZE)])
    put_area(image, 1 << 18, SIZE, newer(5), place=SIZE - 100)
    lower = read(image)
    counting = Fault(lower, parse_rules("read:delay:delay=0"))
    assert read_lvm2(counting).group is not None
    reads = [(hit.offset, hit.length) for hit in counting.hits]
    assert len(reads) == 4  # the beginning with the first area; header and two parts of the text of the second
    for index, (offset, length) in enumerate(reads):
        with pytest.raises(DeviceError, match=rf"read of {length} bytes at {offset}\b"):
            read_lvm2(Fault(lower, parse_rules(f"read:{kind}:after={index}:count=1")))
