from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootpath.core.errors import Error
from bootpath.image.ddi.layout import FOOTER_BYTES, MIB, lay_out

GRAINS = st.integers(1, 5000).map(lambda count: count * 4096)


@given(st.lists(GRAINS, max_size=12), st.integers(1, 600).map(lambda count: count * 4096))
def test_places_are_aligned_and_apart(sizes: list[int], alignment: int) -> None:
    layout = lay_out(sizes, alignment_bytes=alignment)
    end = MIB
    for offset, size in zip(layout.offsets, sizes, strict=True):
        assert offset % alignment == 0
        assert end <= offset < end + alignment
        end = offset + size
    assert layout.size_bytes == end + FOOTER_BYTES


def test_a_larger_image_keeps_its_places() -> None:
    small = lay_out([4096, 8192])
    assert lay_out([4096, 8192], size_bytes=small.size_bytes + 4096).offsets == small.offsets


@pytest.mark.parametrize(
    ("sizes", "alignment", "size"),
    [
        ([4096], 512, None),
        ([4096], 5000, None),
        ([4096], MIB, MIB),
        ([4096], MIB, 8 * MIB + 1),
        ([4096] * 129, MIB, None),
    ],
)
def test_what_cannot_be_is_refused(sizes: list[int], alignment: int, size: int | None) -> None:
    with pytest.raises(Error, match="layout: "):
        lay_out(sizes, alignment_bytes=alignment, size_bytes=size)
