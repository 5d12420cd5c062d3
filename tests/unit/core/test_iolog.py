from __future__ import annotations

from bootpath.core.extents import Extent
from bootpath.core.iolog import Flush, Read, Write


def test_read_knows_its_extent() -> None:
    assert Read(4096, 512).extent == Extent(4096, 512)


def test_records_are_plain_values_with_quiet_defaults() -> None:
    assert Read(0, 1) == Read(0, 1, source="", errno=0)
    assert Write(0, 1) == Write(0, 1, data=None, fua=False, errno=0)
    assert Flush() == Flush(errno=0)
    assert len({Read(0, 1), Read(0, 1), Flush()}) == 2
