"""Directory records: sectors, multi-extent flags, times, and lengths that lie."""

from __future__ import annotations

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.iso9660.records import iter_records, parse_record, short_time
from tests.support.isofiles import SECTOR, TIME, record


def test_a_record() -> None:
    found = parse_record(record(b"NAME.;1", 30, 5000, 0x80, b"area", unit=2))
    assert (found.name, found.block, found.size_bytes, found.system_use) == (b"NAME.;1", 30, 5000, b"area")
    assert (found.goes_on, found.is_directory, found.interleaved) == (True, False, True)
    assert found.seconds == 1_700_000_000
    assert parse_record(record(b"EVEN", 1, 1, 2, b"areas")).system_use == b"areas\0"


def test_extended_attributes_stand_before_the_content() -> None:
    data = bytearray(record(b"A", 30, 1))
    data[1] = 3
    assert parse_record(bytes(data)).block == 33


def test_zeros_fill_a_sector() -> None:
    first, second = record(b"A", 1, 1), record(b"B", 2, 2)
    data = first.ljust(SECTOR, b"\0") + second.ljust(SECTOR, b"\0")
    assert [(place, each.name) for place, each in iter_records(data, 4096)] == [(4096, b"A"), (4096 + SECTOR, b"B")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the length of a directory record is not valid; expected at least 34 bytes, found no byte"),
        (bytes((33,)) * 40, "the length of a directory record is not valid"),
        (bytes((40,)) * 39, "the length of a directory record is not valid"),
        (record(b"A", 1, 1)[:32] + b"\0\0", "the name goes past the end of its directory record"),
        (record(b"A", 1, 1)[:32] + b"\xff\0", "the name goes past the end of its directory record"),
    ],
)
def test_lengths_that_lie(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse_record(data)


def test_a_record_that_goes_past_its_sector() -> None:
    data = record(b"A", 1, 1).ljust(SECTOR - 20, b"\0")
    several = data[:34] * ((SECTOR - 20) // 34)
    with pytest.raises(FormatError, match="the sector ends within a directory record"):
        list(iter_records(several.ljust(SECTOR, b"\xff")))


def test_times() -> None:
    assert short_time(TIME[:6] + bytes((4,))) == 1_700_000_000 - 3600
    assert short_time(TIME[:6] + bytes((256 - 8,))) == 1_700_000_000 + 7200
    assert short_time(bytes(7)) == 0
    assert short_time(bytes((100, 13, 1, 0, 0, 0, 0))) == 0
