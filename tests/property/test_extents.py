"""An ExtentSet is a set of bytes: every operation agrees with a set of integers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bootpath.core.extents import Extent, ExtentSet

SPACE = 64
extents = st.builds(Extent, st.integers(0, SPACE), st.integers(0, 20))
edits = st.lists(st.tuples(st.sampled_from(["add", "remove"]), extents), max_size=12)


def members(items: list[Extent] | ExtentSet) -> set[int]:
    return {byte for extent in items for byte in range(extent.offset, extent.end)}


def build(steps: list[tuple[str, Extent]]) -> tuple[ExtentSet, set[int]]:
    subject, model = ExtentSet(), set[int]()
    for name, extent in steps:
        getattr(subject, name)(extent)
        model = model | members([extent]) if name == "add" else model - members([extent])
    return subject, model


def runs(model: set[int]) -> list[Extent]:
    starts = sorted(byte for byte in model if byte - 1 not in model)
    ends = sorted(byte + 1 for byte in model if byte + 1 not in model)
    return [Extent(start, end - start) for start, end in zip(starts, ends, strict=True)]


@given(edits)
def test_edits_keep_sorted_disjoint_runs(steps: list[tuple[str, Extent]]) -> None:
    subject, model = build(steps)
    assert list(subject) == runs(model)
    assert subject.total_bytes == len(model)
    assert subject.end == max(model, default=-1) + 1
    assert subject == ExtentSet(runs(model))


@given(edits, extents.filter(lambda extent: extent.length > 0))
def test_questions(steps: list[tuple[str, Extent]], extent: Extent) -> None:
    subject, model = build(steps)
    asked = members([extent])
    assert subject.covers(extent) == (asked <= model)
    assert subject.intersect(extent) == runs(asked & model)
    assert subject.gaps(extent) == runs(asked - model)


@given(edits, st.integers(1, 8))
def test_coalesced(steps: list[tuple[str, Extent]], max_extents: int) -> None:
    subject, model = build(steps)
    result = subject.coalesced(max_extents)
    assert len(result) == min(len(subject), max_extents)
    assert members(result) >= model
    gaps = sorted(after.offset - before.end for before, after in zip(list(subject), list(subject)[1:], strict=False))
    assert result.total_bytes - subject.total_bytes == sum(gaps[: max(0, len(subject) - max_extents)])


@given(extents, extents)
def test_pairs(first: Extent, second: Extent) -> None:
    one, two = members([first]), members([second])
    if first.length and second.length:
        assert first.overlaps(second) == bool(one & two)
        assert first.covers(second) == (two <= one)


@given(extents, st.integers(1, 16))
def test_aligned(extent: Extent, granularity: int) -> None:
    result = extent.aligned(granularity)
    assert result.offset % granularity == result.length % granularity == 0
    assert result.covers(extent)
    assert result.length < extent.length + 2 * granularity
