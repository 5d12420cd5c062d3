"""Nodes and keys."""

from __future__ import annotations

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.region import Region
from bootpath.formats.superblocks.ubifs import probe_ubifs
from bootpath.fs.readers.source import Source
from bootpath.fs.readers.ubifs.nodes import (
    FlashNode,
    KeyType,
    Lebs,
    NodeType,
    Place,
    is_hashed,
    key_of,
    key_type,
    make_key,
    read_header,
)
from tests.support.ubifsimage import LEB_BYTES, LEBS, MAIN, Image, data, entry, inode, node, small


def lebs_of(image: Image) -> Lebs:
    device = image.device()
    superblock = probe_ubifs(Region(device))
    assert superblock is not None
    return Lebs(Source(device, "ubifs"), superblock)


def test_keys_are_in_order() -> None:
    keys = [
        make_key(1, KeyType.INODE),
        make_key(1, KeyType.DATA, 0),
        make_key(1, KeyType.DATA, (1 << 29) - 1),
        make_key(1, KeyType.ENTRY, 3),
        make_key(1, KeyType.ATTRIBUTE, 3),
        make_key(2, KeyType.INODE),
    ]
    assert keys == sorted(keys)
    assert [key_type(key) for key in keys] == [0, 1, 1, 2, 3, 0]
    assert [is_hashed(key) for key in keys] == [False, False, False, True, True, False]
    assert key_of(data(9, 5, b"x")) == make_key(9, KeyType.DATA, 5)


def test_a_header() -> None:
    content = inode(70, sequence=9)
    found = read_header(b"12345678" + content + b"more", 5, 8, 1000)
    assert found == FlashNode(5, 8, NodeType.INODE, 9, 0, content)
    assert found.place == Place(5, 8, 160)


@pytest.mark.parametrize(
    ("content", "room", "why"),
    [
        (inode(70)[:20], 1000, "cut short"),
        (b"x" + inode(70)[1:], 1000, "there is no node"),
        (node(NodeType.PADDING, bytes(4))[:20] + b"\x0d" + bytes(7), 1000, "its type is 13"),
        (inode(70), 159, "its length is 160"),
        (node(NodeType.DATA, bytes(23)), 1000, "its length is 47"),
        (node(NodeType.DATA, bytes(25 + 4096)), 9000, "its length is 4145"),
        (inode(70)[:-1] + b"x", 1000, "its checksum does not match"),
        (inode(70)[:-1], 1000, "its checksum does not match"),
    ],
)
def test_what_is_wrong_with_one(content: bytes, room: int, why: str) -> None:
    found = read_header(content, 5, 0, room)
    assert isinstance(found, str)
    assert why in found


def test_a_node_that_the_index_names() -> None:
    image = small().finish()
    lebs = lebs_of(image)
    place = image.branches[1][1]
    assert lebs.node(place, NodeType.ENTRY) == entry(1, "file", 70)
    with pytest.raises(FormatError, match=r"is another one; expected inode, 61 bytes, found entry, 61 bytes"):
        lebs.node(place, NodeType.INODE)
    with pytest.raises(FormatError, match="is damaged: its length is 61"):
        lebs.node(Place(place.leb, place.offset, 60), NodeType.ENTRY)
    with pytest.raises(FormatError, match="is another one"):
        lebs.node(Place(place.leb, place.offset, 62), NodeType.ENTRY)


@pytest.mark.parametrize(
    "place",
    [
        Place(MAIN - 1, 0, 64),
        Place(LEBS, 0, 64),
        Place(MAIN, 4, 64),
        Place(MAIN, LEB_BYTES - 56, 64),
        Place(1 << 31, 0, 64),
    ],
)
def test_places_outside_the_main_area(place: Place) -> None:
    with pytest.raises(FormatError, match="a node is outside the main area"):
        lebs_of(small().finish()).node(place, NodeType.INODE)
