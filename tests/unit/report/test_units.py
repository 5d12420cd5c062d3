from __future__ import annotations

import pytest

from bootpath.report.units import format_bytes, format_offset, format_seconds, plural


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (512, "512 bytes"),
        (4096, "4 KiB"),
        (4097, "4097 bytes"),
        (16385, "16.0 KiB"),
        (1 << 20, "1 MiB"),
        (4093 << 20, "4093 MiB"),
        (3 << 30, "3 GiB"),
        ((3 << 30) + (512 << 20), "3584 MiB"),
        (1 << 60, "1 EiB"),
    ],
)
def test_format_bytes(count: int, text: str) -> None:
    assert format_bytes(count) == text


def test_format_offset_is_always_mib() -> None:
    assert format_offset(0) == "0 MiB"
    assert format_offset(4096) == "0.0 MiB"
    assert format_offset(3489722368) == "3328.1 MiB"


def test_format_seconds() -> None:
    assert format_seconds(0.0123) == "12.3 ms"
    assert format_seconds(2.5) == "2.50 s"


def test_plural() -> None:
    assert plural(1, "extent") == "1 extent"
    assert plural(0, "extent") == "0 extents"
