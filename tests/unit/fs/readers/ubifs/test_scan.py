"""What a power cut leaves at the end of an eraseblock, and what it does not."""

from __future__ import annotations

import struct

import pytest

from bootpath.core.errors import FormatError, LimitError
from bootpath.core.limits import limits_raised
from bootpath.fs.readers.ubifs.nodes import Group, NodeType
from bootpath.fs.readers.ubifs.scan import Stop, is_erased, scan_cut, scan_leb, scan_sound
from tests.support.ubifsimage import LEB_BYTES, Image, data, entry, inode, node, padded, small
from tests.unit.fs.readers.ubifs.test_nodes import lebs_of

LEB = 20
NODES = (inode(70), data(70, 0, b"abc"), entry(1, "name", 70))


def image_of(*parts: bytes, min_io: int = 8) -> Image:
    image = small()
    image.put(LEB, 0, b"".join(padded(part) for part in parts))
    return image.finish(min_io=min_io)


def offsets(image: Image, **how: bool) -> list[int]:
    return [each.offset for each in scan_cut(lebs_of(image), LEB, 0, **{"grouped": False, **how})]


def padding(length: int) -> bytes:
    """A node, and the bytes behind it that it says are unused."""
    return node(NodeType.PADDING, struct.pack("<I", length)) + b"\xff" * length


def test_nodes_and_padding() -> None:
    image = image_of(NODES[0], padding(100), NODES[1], b"\xce" * 16, NODES[2])
    scan, content = scan_leb(lebs_of(image), LEB)
    assert [each.data for each in scan.nodes] == list(NODES)
    assert (scan.stop, len(content), scan.end) == (Stop.ERASED, LEB_BYTES, 160 + 128 + 56 + 16 + 64)
    assert scan_sound(lebs_of(image), LEB) == scan.nodes
    assert [each.offset for each in scan_sound(lebs_of(image), LEB, 160)] == [288, 360]


def test_a_full_one() -> None:
    image = image_of(padding(LEB_BYTES - 28))
    assert scan_leb(lebs_of(image), LEB)[0].stop is Stop.END
    assert scan_sound(lebs_of(image), LEB) == []


@pytest.mark.parametrize(
    ("tail", "stop"),
    [
        (b"garbage!", Stop.GARBAGE),
        (b"\xce" * 9 + b"x", Stop.GARBAGE),
        (inode(71)[:-1] + b"x", Stop.DAMAGED),
        (inode(71)[:100], Stop.DAMAGED),
        (padding(5000)[:28], Stop.PADDING),
        (padding(99)[:28], Stop.PADDING),
    ],
)
def test_a_damaged_end(tail: bytes, stop: Stop) -> None:
    if stop is Stop.PADDING and tail == padding(5000)[:28]:
        tail = node(NodeType.PADDING, struct.pack("<I", 1 << 20))
    image = image_of(*NODES, tail)
    assert scan_leb(lebs_of(image), LEB)[0].stop is stop
    with pytest.raises(
        FormatError, match=f"LEB 20 is damaged at byte 280; expected a node, or 0xFF, found {stop.value}"
    ):
        scan_sound(lebs_of(image), LEB)
    assert offsets(image) == [0, 160, 216]


def test_damage_with_more_behind_it() -> None:
    for image in (image_of(*NODES, b"garbage!"), image_of(*NODES, inode(71)[:-1] + b"x")):
        image.put(LEB, 8192, b"\0")
        with pytest.raises(FormatError, match="and more follows"):
            offsets(image)
    image = image_of(*NODES)
    image.put(LEB, 4095, b"\0")  # of the last write
    assert offsets(image) == [0, 160, 216]
    with pytest.raises(FormatError, match="LEB 20 is damaged"):
        scan_sound(lebs_of(image), LEB)


def test_a_damaged_node_that_goes_on_for_some_writes() -> None:
    long = data(70, 0, b"x" * 4000)
    image = image_of(*NODES, data(70, 1, b"y" * 3700), long[:-9] + b"z")
    assert len(offsets(image)) == 4
    image.put(LEB, 12288, b"\0")
    with pytest.raises(FormatError, match="and more follows"):
        offsets(image)


def test_the_size_of_a_write() -> None:
    image = image_of(*NODES, min_io=512)
    with pytest.raises(FormatError, match="LEB 20 is damaged at byte 280; expected a node, or 0xFF, found nothing was"):
        scan_sound(lebs_of(image), LEB)


def test_a_group_counts_whole() -> None:
    begun = [entry(1, f"new{number}", 80, group=Group.CONTINUED) for number in range(2)]
    assert offsets(image_of(*NODES, *begun), grouped=True) == [0, 160, 216]
    assert len(offsets(image_of(*NODES, *begun), grouped=False)) == 5
    assert len(offsets(image_of(*NODES, *begun, inode(1, group=Group.LAST)), grouped=True)) == 6


def test_the_collectors_last_unit() -> None:
    image = image_of(*NODES, b"garbage!", min_io=256)
    assert offsets(image, collector=True) == [0, 160], "the third one ends in the unit that is dropped"


def test_erased() -> None:
    assert is_erased(b"")
    assert is_erased(b"\xff" * 9)
    assert not is_erased(b"\xff\xfe")


def test_what_it_may_cost() -> None:
    image = image_of(*NODES)
    with limits_raised(metadata_bytes=LEB_BYTES - 1), pytest.raises(LimitError, match="too much of the file system"):
        scan_leb(lebs_of(image), LEB)
