"""The journal: the log, the eraseblocks that it names, and what cannot be in either."""

from __future__ import annotations

import struct

import pytest

from bootpath.core.errors import FormatError
from bootpath.fs.readers.open import open_files
from bootpath.fs.readers.ubifs.journal import Change, parse_entry, read_journal
from bootpath.fs.readers.ubifs.master import read_master
from bootpath.fs.readers.ubifs.nodes import NodeType
from tests.support.ubifsimage import BUDS, LEB_BYTES, LOG, Image, data, entry, inode, node, small, truncation
from tests.unit.fs.readers.ubifs.test_nodes import lebs_of

DIRTY = 1


def changes(image: Image) -> list[Change]:
    lebs = lebs_of(image.finish() if not image.used.get(LOG[0]) else image)
    return read_journal(lebs, read_master(lebs))


def test_an_empty_one() -> None:
    assert changes(small()) == []


def test_changes_are_in_the_order_in_which_they_were_made() -> None:
    image = small()
    image.bud(BUDS, entry(1, "x", 80, sequence=5), entry(1, "y", 0, sequence=8))
    image.bud(BUDS + 1, data(80, 3, b"abc", sequence=7), inode(80, size=99, sequence=6), head=2)
    image.bud(BUDS + 2, truncation(80, 99, 9, sequence=20), inode(81, links=0, sequence=19), head=2)
    found = changes(image)
    assert [each.sequence for each in found] == [5, 6, 7, 8, 19, 20]
    assert [each.place is None for each in found] == [False, False, False, True, True, True]
    assert [each.size for each in found] == [0, 99, 3 * 4096 + 3, 0, 0, 9]
    assert (found[0].name, found[5].before) == (b"x", 99)


def test_a_bud_begins_behind_what_is_committed() -> None:
    image = small()
    image.put(BUDS, 0, inode(80, sequence=1))
    image.bud(BUDS, inode(81, sequence=2), offset=160)
    image.bud(BUDS + 1, offset=LEB_BYTES)
    assert [each.key >> 32 for each in changes(image)] == [81]


def test_the_log_goes_on_in_the_next_eraseblock_and_ends_where_it_is_old() -> None:
    image = small()
    image.bud(BUDS, inode(80, sequence=5))
    image.finish()
    image.put(BUDS + 1, 0, inode(81, sequence=6))
    image.put(LOG[1], 0, node(NodeType.REFERENCE, struct.pack("<III28x", BUDS + 1, 0, 2), sequence=30))
    assert [each.sequence for each in changes(image)] == [5, 6]
    image.put(LOG[1], 0, node(NodeType.REFERENCE, struct.pack("<III28x", BUDS + 1, 0, 2), sequence=9))
    assert [each.sequence for each in changes(image)] == [5], "it is older than the commit"


def test_one_that_is_named_twice() -> None:
    image = small()
    image.bud(BUDS, inode(80, sequence=5))
    image.bud(BUDS, inode(81, sequence=6), offset=160)
    assert len(changes(image)) == 2
    image = small()
    image.bud(BUDS, inode(80, sequence=5))
    image.bud(BUDS, head=2)
    with pytest.raises(
        FormatError, match="the log names a place where no journal can be; found byte 0 of LEB 14, head 2"
    ):
        changes(image)


@pytest.mark.parametrize(
    ("leb", "offset", "head"), [(7, 0, 1), (99, 0, 1), (BUDS, 4, 1), (BUDS, 0, 3), (BUDS, 15368, 1)]
)
def test_references_to_nowhere(leb: int, offset: int, head: int) -> None:
    image = small()
    image.references.append(struct.pack("<III28x", leb, offset, head))
    with pytest.raises(FormatError, match="the log names a place where no journal can be"):
        changes(image)


@pytest.mark.parametrize(
    ("offset", "content", "why"),
    [
        (0, b"\xff" * 32, "the log, LEB 3, does not begin with a commit"),
        (0, node(NodeType.REFERENCE, bytes(40), sequence=10)[:32], "the log, LEB 3, is damaged at byte 0"),
        (
            0,
            node(NodeType.COMMIT_START, struct.pack("<Q", 8), sequence=10),
            "is of another commit than the master node",
        ),
        (32, node(NodeType.REFERENCE, bytes(40), sequence=9), "has an old node at 32"),
        (32, node(NodeType.COMMIT_START, bytes(8), sequence=12), "has an old node at 32"),
        (32, inode(1, sequence=12), "has a node of type inode"),
    ],
)
def test_a_log_that_lies(offset: int, content: bytes, why: str) -> None:
    image = small().finish()
    image.put(LOG[0], offset, content)
    with pytest.raises(FormatError, match=why):
        changes(image)


@pytest.mark.parametrize("flags", [0, DIRTY])
def test_a_damaged_end_counts_after_a_power_cut_only(flags: int) -> None:
    def cut() -> Image:
        image = small(flags)
        image.bud(BUDS, entry(1, "x", 80, sequence=5), inode(80, sequence=6))
        image.put(BUDS, image.used[BUDS], inode(81)[:90])
        return image

    if flags:
        assert [each.sequence for each in changes(cut())] == [5, 6]
        (warning,) = open_files(cut().finish().device()).warnings
        assert "was not unmounted" in warning
    else:
        with pytest.raises(FormatError, match="LEB 14 is damaged at byte"):
            changes(cut())


def test_only_the_last_eraseblock_of_a_head_may_be_damaged() -> None:
    def image_of(last: bytes) -> Image:
        image = small(DIRTY)
        image.bud(BUDS, inode(80, sequence=5))
        image.put(BUDS, 160, b"garbage!")
        image.bud(BUDS + 1, inode(81, sequence=6), head=2)
        image.bud(BUDS + 2, *([last] if last else []))
        return image

    with pytest.raises(FormatError, match="LEB 14 is damaged"):
        changes(image_of(inode(82, sequence=7)))
    # "bud B contains no data, and bud A is corrupted at the end": older versions of Linux did this
    assert len(changes(image_of(b""))) == 2


@pytest.mark.parametrize("newer", [False, True])
def test_a_log_with_a_damaged_end(newer: bool) -> None:
    image = small(DIRTY)
    image.bud(BUDS, inode(80, sequence=5))
    image.finish()
    image.put(LOG[0], image.used[LOG[0]], b"\x31\x18\x10\x06 torn")
    sequence = 40 if newer else 3
    image.put(LOG[1], 0, node(NodeType.COMMIT_START, struct.pack("<Q", 6), sequence=sequence))
    if newer:
        with pytest.raises(FormatError, match="the log, LEB 3, is damaged, and it goes on behind that"):
            changes(image)
    else:
        assert len(changes(image)) == 1


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (truncation(70, 5, 5, sequence=5), "a truncation that is none"),
        (truncation(70, 1 << 50, 5, sequence=5), "a truncation that is none"),
        (node(NodeType.ORPHANS, bytes(16), sequence=5), "a node of another kind at 0 of LEB 14; found orphans"),
    ],
)
def test_nodes_that_cannot_be_in_a_journal(content: bytes, why: str) -> None:
    image = small()
    image.bud(BUDS, content)
    with pytest.raises(FormatError, match=why):
        changes(image)


def test_nodes_that_authenticate_others_are_passed_over() -> None:
    image = small()
    image.bud(BUDS, inode(80, sequence=5), node(NodeType.AUTHENTICATION, bytes(32), sequence=6))
    assert len(changes(image)) == 1


def test_entries() -> None:
    lebs = lebs_of(small().finish())
    found = parse_entry(lebs, entry(1, "näme", 70, code=3))
    assert (found.inode, found.type, found.name) == (70, 3, "näme".encode())
    for wrong in (entry(1, "name", 70)[:-1] + b"x", entry(1, "name", 70) + b"\0"):
        with pytest.raises(FormatError, match="a directory entry is wrong"):
            parse_entry(lebs, wrong)
