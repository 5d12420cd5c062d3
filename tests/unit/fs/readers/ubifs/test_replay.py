"""The journal over the index: against a model that does what Linux does, one change after the other."""

from __future__ import annotations

from random import Random

import pytest

from bootpath.core.errors import FormatError
from bootpath.fs.readers.files import Files
from bootpath.fs.readers.open import open_files
from bootpath.fs.readers.ubifs.nodes import NodeType
from bootpath.fs.readers.ubifs.replay import Intervals
from tests.support.ubifsimage import BUDS, LEB_BYTES, Image, data, directory, entry, inode, padded, small, truncation

BLOCK = 4096


def test_intervals_equal_a_set() -> None:
    random = Random(1)
    for _ in range(200):
        found, model = Intervals(), set()
        for _ in range(random.randrange(12)):
            first = random.randrange(50)
            last = first + random.choice((0, 1, 5, 20))
            found.add(first, last)
            model |= set(range(first, last + 1))
        assert {number for number in range(-2, 80) if number in found} == model


def files(*nodes: bytes, flags: int = 0) -> Files:
    """The small image with these in its journal, one after the other."""
    image = small(flags)
    image.bud(BUDS, *nodes)
    return open_files(image.finish().device())


def test_what_is_new_and_what_is_gone() -> None:
    found = files(
        entry(1, "new", 80, sequence=2),
        inode(80, size=3, sequence=3),
        data(80, 0, b"abc", sequence=4),
        entry(71, "link", 0, sequence=5),
        inode(72, links=0, sequence=6),
    )
    assert [path for path, _ in found.walk()] == ["/", "/dir", "/file", "/new"]
    assert found.read_file("new", 9) == b"abc"


def test_a_block_that_is_written_again() -> None:
    found = files(data(70, 0, b"c" * BLOCK, sequence=2), data(70, 0, b"d" * BLOCK, sequence=3))
    assert found.read_file("file", 9999) == b"d" * BLOCK + b"b" * 904


def test_a_truncation_and_a_file_that_grows_again() -> None:
    found = files(
        inode(70, size=10, sequence=2),
        truncation(70, 5000, 10, sequence=3),
        data(70, 0, b"a" * 10, sequence=4),
        inode(70, size=9000, sequence=5),
        data(70, 2, b"e" * 808, sequence=6),
    )
    assert found.read_file("file", 9999) == b"a" * 10 + bytes(2 * BLOCK - 10) + b"e" * 808
    assert len(found.extents("file")) == 2


def test_a_file_that_is_removed_and_one_of_the_same_number() -> None:
    found = files(
        entry(1, "file", 0, sequence=2),
        inode(70, links=0, sequence=3),
        entry(1, "other", 70, sequence=4),
        inode(70, size=5000, sequence=5),
    )
    # "O_TMPFILE files can be re-linked": as the newest change says that it lives, nothing is removed.
    assert found.read_file("other", 9999)[:1] == b"a"
    assert not found.exists("file")


def test_an_entry_whose_node_is_gone() -> None:
    """Its eraseblock was collected: the journal has it, or its removal, and the index does not know yet."""
    image = small()
    file = image.branches[1][1]
    image.put(file.leb, file.offset, b"\xff" * file.length)
    with pytest.raises(FormatError, match="there is no node"):
        open_files(image.finish().device()).list("/")
    image = small()
    image.put(file.leb, file.offset, b"\xff" * file.length)
    image.bud(BUDS, entry(1, "file", 0, sequence=2))
    assert [each.name for each in open_files(image.finish().device()).list("/")] == ["dir"]


def test_names_with_one_hash() -> None:
    image = small()
    for number in range(5):
        image.commit(entry(71, f"n{number}", 100 + number, hashed=5), inode(100 + number, size=number))
    image.bud(
        BUDS,
        entry(71, "n1", 0, hashed=5, sequence=2),
        entry(71, "n5", 104, hashed=5, sequence=3),
        entry(71, "n3", 100, hashed=5, sequence=4),
        entry(71, "n4", 0, hashed=5, sequence=5),
        entry(71, "n4", 103, hashed=5, sequence=6),
    )
    found = open_files(image.finish().device())
    sizes = {
        each.name: found.lookup(f"dir/{each.name}").size_bytes for each in found.list("dir") if each.name != "link"
    }
    assert sizes == {"n0": 0, "n2": 2, "n3": 0, "n4": 3, "n5": 4}


def test_attributes_are_nobodys_names() -> None:
    found = files(entry(70, "user.x", 90, kind=NodeType.ATTRIBUTE, sequence=2), inode(90, flags=0x20, sequence=3))
    assert [path for path, _ in found.walk()] == ["/", "/dir", "/dir/link", "/file"]


@pytest.mark.parametrize(("flags", "size"), [(0, 5000), (1, 2 * BLOCK + 7)])
def test_after_a_power_cut_a_file_is_as_long_as_its_data(flags: int, size: int) -> None:
    found = files(data(70, 2, b"longer!", sequence=2), flags=flags)
    assert found.lookup("file").size_bytes == size
    assert found.read_file("file", 9999)[8192:] == b"longer!"[: max(0, size - 8192)]


def test_after_a_power_cut_an_inode_that_says_more() -> None:
    said = [data(70, 2, b"longer!", sequence=2), inode(70, size=9000, sequence=3)]
    assert files(*said, flags=1).lookup("file").size_bytes == 9000
    cut = [*said, truncation(70, 9000, 100, sequence=4), inode(70, size=100, sequence=5)]
    assert files(*cut, flags=1).lookup("file").size_bytes == 100


def test_data_of_an_inode_that_never_came() -> None:
    found = files(data(90, 0, b"abc", sequence=2), entry(1, "lost", 90, sequence=3), flags=1)
    with pytest.raises(FormatError, match="there is no inode 90"):
        found.lookup("lost")


def test_many_truncations_cost_no_more_than_their_number() -> None:
    image = small()
    nodes = [data(70, number, b"x", sequence=100 + number) for number in range(200)]
    nodes += [truncation(70, number * BLOCK, (number - 1) * BLOCK, sequence=5000 - number) for number in range(2, 600)]
    for leb in range(5):
        room, part = LEB_BYTES, []
        while nodes and len(padded(nodes[0])) <= room:
            room -= len(padded(nodes[0]))
            part.append(nodes.pop(0))
        image.bud(BUDS + leb, *part, head=leb % 3)
    assert not nodes
    assert open_files(image.finish().device()).read_file("file", 9999)[BLOCK:] == bytes(904)


def test_equals_what_linux_does() -> None:
    """Random changes of some files, and a directory, in the order in which they were made."""
    random = Random(6)
    for _ in range(60):
        image, model = Image(), {}
        names: dict[str, int] = {}
        image.commit(directory(1))
        sequence = 100
        nodes: list[bytes] = []
        for number in range(70, 75):
            image.commit(entry(1, f"f{number}", number, hashed=number % 2), inode(number, size=4 * BLOCK))
            names[f"f{number}"] = number
            model[number] = {block: b"%d" % (number * 10 + block) for block in random.sample(range(4), 3)}
            image.commit(*(data(number, block, content) for block, content in model[number].items()))
        for _ in range(random.randrange(25)):
            sequence += 1
            number, block = random.randrange(70, 80), random.randrange(4)
            if number not in model:
                nodes += [entry(1, f"f{number}", number, hashed=number % 2, sequence=sequence)]
                nodes += [inode(number, size=4 * BLOCK, sequence=sequence + 1)]
                names[f"f{number}"], model[number] = number, {}
                sequence += 1
                continue
            match random.randrange(4):
                case 0:
                    nodes.append(truncation(number, 4 * BLOCK, block * BLOCK, sequence=sequence))
                    model[number] = {key: value for key, value in model[number].items() if key < block}
                case 1 | 2:
                    nodes.append(data(number, block, b"%d" % sequence, sequence=sequence))
                    model[number][block] = b"%d" % sequence
                case _:
                    old = random.choice([name for name, of in names.items() if of == number])
                    new = f"r{sequence}"
                    nodes += [entry(1, old, 0, hashed=number % 2, sequence=sequence)]
                    nodes += [entry(1, new, number, hashed=number % 2, sequence=sequence + 1)]
                    sequence += 1
                    names[new] = names.pop(old)
        random.shuffle(nodes)  # where they are says nothing
        image.bud(BUDS, *nodes[::2], head=1)
        image.bud(BUDS + 1, *nodes[1::2], head=2)
        found = open_files(image.finish().device())
        assert {each.name for each in found.list("/")} == set(names)
        for name, number in names.items():
            whole = b"".join(model[number].get(block, b"").ljust(BLOCK, b"\0") for block in range(4))
            assert found.read_file(name, 1 << 20) == whole
