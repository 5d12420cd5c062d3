"""The index: ranges of keys, and trees that lie."""

from __future__ import annotations

import struct
from random import Random

import pytest

from bootpath.core.errors import FormatError
from bootpath.fs.readers.ubifs.index import Index
from bootpath.fs.readers.ubifs.nodes import KeyType, NodeType, Place, make_key
from tests.support.ubifsimage import INDEX, Image, node, small
from tests.unit.fs.readers.ubifs.test_nodes import lebs_of


def test_ranges_equal_a_list() -> None:
    random = Random(3)
    image = small()
    image.branches = []
    keys = sorted(
        {make_key(random.randrange(1, 9), KeyType(random.randrange(2)), random.randrange(30)) for _ in range(150)}
    )
    keys += [make_key(5, KeyType.ENTRY, 7)] * 11
    keys.sort()
    image.branches = [(key, Place(8, 8 * number, 64)) for number, key in enumerate(keys)]
    root = image.index()
    index = Index(lebs_of(image.finish()), root)
    for _ in range(200):
        low, high = sorted(random.choice(keys) + random.randrange(-2, 3) for _ in range(2))
        assert [each.key for each in index.range(low, high)] == [key for key in keys if low <= key <= high]
    assert index.find(keys[3]) == Place(8, 24, 64)
    assert index.find(make_key(99, KeyType.INODE)) is None


def branch(key: int, place: Place) -> bytes:
    return struct.pack("<IIIII", place.leb, place.offset, place.length, key >> 32, key & 0xFFFFFFFF)


def index_node(level: int, *branches: tuple[int, Place], count: int | None = None) -> bytes:
    body = struct.pack("<HH", len(branches) if count is None else count, level)
    return node(NodeType.INDEX, body + b"".join(branch(*each) for each in branches))


def read(image: Image, root: Place) -> list[int]:
    return [each.key for each in Index(lebs_of(image.finish()), root).range(0, (1 << 64) - 1)]


LEAF = Place(8, 0, 160)
KEYS = [make_key(number, KeyType.INODE) for number in range(9)]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (index_node(0, count=0), "it has 0 branches"),
        (index_node(0, (KEYS[1], LEAF), count=2), "it has 2 branches at level 0 in 48 bytes"),
        (index_node(512, (KEYS[1], LEAF)), "at level 512"),
        (index_node(0, (KEYS[2], LEAF), (KEYS[1], LEAF)), "its keys are not in order"),
        (index_node(0, (KEYS[2], LEAF), (KEYS[2], LEAF)), "its keys are not in order"),
    ],
)
def test_a_node_that_lies(content: bytes, why: str) -> None:
    image = small()
    root = image.append(INDEX, content)
    with pytest.raises(FormatError, match=f"the index node at 0 of LEB 12 is wrong: .*{why}"):
        read(image, root)


def test_levels_go_down() -> None:
    image = small()
    child = image.append(INDEX, index_node(1, (KEYS[1], LEAF)))
    root = image.append(INDEX, index_node(3, (KEYS[1], child)))
    with pytest.raises(FormatError, match="it has level 1 below one of level 3"):
        read(image, root)


def test_a_node_below_itself() -> None:
    image = small()
    root = image.append(INDEX, index_node(1, (KEYS[1], Place(INDEX, 0, 48))))
    with pytest.raises(FormatError, match="it has level 1 below one of level 1"):
        read(image, root)


@pytest.mark.parametrize("keys", [(KEYS[0], KEYS[1]), (KEYS[3], KEYS[6])])
def test_keys_are_between_those_above(keys: tuple[int, int]) -> None:
    image = small()
    child = image.append(INDEX, index_node(0, *((key, LEAF) for key in keys)))
    other = image.append(INDEX, index_node(0, (KEYS[5], LEAF)))
    root = image.append(INDEX, index_node(1, (KEYS[1], child), (KEYS[5], other)))
    with pytest.raises(FormatError, match="its keys are not between those of the node above it"):
        read(image, root)


def test_a_child_that_is_there_twice() -> None:
    """Levels of nodes that share their children would be a tree without end."""
    image = small()
    place = image.append(INDEX, index_node(0, (KEYS[1], LEAF)))
    for level in range(1, 60):
        place = image.append(INDEX, index_node(level, (KEYS[1], place), (KEYS[2], place)))
    with pytest.raises(FormatError, match="its keys are not between"):
        read(image, place)
