from __future__ import annotations

import pytest

from bootpath.core.extents import Extent, ExtentSet


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, -1)])
def test_negative_extent(offset: int, length: int) -> None:
    with pytest.raises(ValueError, match="negative extent"):
        Extent(offset, length)


def test_extent() -> None:
    extent = Extent(10, 5)
    assert extent.end == 15
    assert extent.shift(-10) == Extent(0, 5)
    assert extent.aligned(8) == Extent(8, 8)
    assert Extent(8, 8).aligned(8) == Extent(8, 8)
    assert Extent(9, 0).aligned(8) == Extent(8, 8)
    assert sorted([Extent(2, 1), Extent(1, 9)]) == [Extent(1, 9), Extent(2, 1)]


@pytest.mark.parametrize(
    ("other", "overlaps", "covers"),
    [
        (Extent(10, 5), True, True),
        (Extent(11, 2), True, True),
        (Extent(9, 2), True, False),
        (Extent(14, 2), True, False),
        (Extent(5, 5), False, False),
        (Extent(15, 5), False, False),
    ],
)
def test_overlap_and_cover(other: Extent, overlaps: bool, covers: bool) -> None:
    assert Extent(10, 5).overlaps(other) is overlaps
    assert other.overlaps(Extent(10, 5)) is overlaps
    assert Extent(10, 5).covers(other) is covers


def test_neighbours_are_merged() -> None:
    assert list(ExtentSet([Extent(0, 4), Extent(8, 4), Extent(4, 4)])) == [Extent(0, 12)]


def test_empty_set() -> None:
    empty = ExtentSet([Extent(5, 0)])
    assert (len(empty), empty.end, empty.total_bytes, list(empty)) == (0, 0, 0, [])
    assert empty.covers(Extent(7, 0))
    assert not empty.covers(Extent(7, 1))
    assert empty.gaps(Extent(1, 2)) == [Extent(1, 2)]
    assert empty.coalesced(1) == empty


def test_empty_extent_meets_nothing() -> None:
    assert ExtentSet([Extent(0, 10)]).intersect(Extent(5, 0)) == []


def test_coalesced_fills_the_smallest_gaps() -> None:
    extents = ExtentSet([Extent(0, 1), Extent(10, 1), Extent(12, 1), Extent(20, 1)])
    assert list(extents.coalesced(3)) == [Extent(0, 1), Extent(10, 3), Extent(20, 1)]
    assert list(extents.coalesced(1)) == [Extent(0, 21)]
    assert extents.coalesced(9) == extents
    assert len(extents) == 4
    with pytest.raises(ValueError, match="must be at least 1"):
        extents.coalesced(0)


def test_equality_and_repr() -> None:
    assert ExtentSet([Extent(0, 1)]) == ExtentSet([Extent(0, 1)])
    assert ExtentSet([Extent(0, 1)]) != [Extent(0, 1)]
    assert repr(ExtentSet([Extent(0, 1)])) == "ExtentSet([Extent(offset=0, length=1)])"
    with pytest.raises(TypeError):
        hash(ExtentSet())
