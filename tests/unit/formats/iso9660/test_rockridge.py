"""Entries of Rock Ridge: names and links in pieces, times in both forms, and what is damaged."""

from __future__ import annotations

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.iso9660.rockridge import (
    Compressed,
    Continuation,
    RockRidge,
    SystemUseEntry,
    parse_continuation,
    parse_entries,
    parse_rock_ridge,
    parse_skip,
)
from tests.support.isofiles import ER, SP, TIME, both


def entry(tag: str, data: bytes) -> bytes:
    return tag.encode() + bytes((len(data) + 4, 1)) + data


def parsed(*entries: bytes) -> RockRidge:
    return parse_rock_ridge(list(parse_entries(b"".join(entries))))


def component(text: bytes = b"", flags: int = 0) -> bytes:
    return bytes((flags, len(text))) + text


def test_an_area_ends_where_it_says_or_where_it_is_wrong() -> None:
    name = entry("NM", b"\0a")
    assert [each.tag for each in parse_entries(SP + ER + name)] == [b"SP", b"ER", b"NM"]
    for end in (b"ST\x04\x01", b"NM\x03\x01", b"NM\xff\x01", b"\0\0\0", b""):
        assert next(parse_entries(name + end + name)).tag == b"NM"
        assert len(list(parse_entries(name + end))) == 1


def test_the_protocol_is_in_use() -> None:
    assert parse_skip(SystemUseEntry(b"SP", b"\xbe\xef\x0e")) == 14
    assert parse_skip(SystemUseEntry(b"SP", b"\xbe\xee\x0e")) is None
    assert parse_skip(SystemUseEntry(b"NM", b"\xbe\xef\x0e")) is None
    assert parse_continuation(SystemUseEntry(b"CE", both(9) + both(100) + both(50))) == Continuation(9, 100, 50)


def test_a_name_in_pieces() -> None:
    assert parsed(entry("NM", b"\1long "), entry("NM", b"\0name")).name == b"long name"
    assert parsed(entry("NM", b"\2")).name is None, "it is the directory's own"
    assert parsed().name is None


def test_modes_and_owners() -> None:
    data = both(0o100640) + both(2) + both(3) + both(4)
    found = parsed(entry("PX", data))
    assert (found.mode, found.links, found.uid, found.gid, found.serial) == (0o100640, 2, 3, 4, 0)
    assert parsed(entry("PX", data + both(5))).serial == 5


def test_links() -> None:
    assert parsed(entry("SL", b"\0" + component(b"a") + component(b"b"))).target == b"a/b"
    absolute = b"\0" + component(flags=8) + component(b"etc") + component(flags=2) + component(flags=4)
    assert parsed(entry("SL", absolute)).target == b"/etc/./.."
    pieces = entry("SL", b"\1" + component(b"na", 1)), entry("SL", b"\0" + component(b"me") + component(b"x"))
    assert parsed(*pieces).target == b"name/x"


def test_times() -> None:
    short = entry("TF", b"\x0e" + TIME + bytes(14))
    assert parsed(short).modified == 1_700_000_000
    behind_creation = entry("TF", b"\x03" + bytes(7) + TIME)
    assert parsed(behind_creation).modified == 1_700_000_000
    long = entry("TF", b"\x82" + b"2023111422132000" + bytes((4,)))
    assert parsed(long).modified == 1_700_000_000 - 3600
    for nothing in (b"\x01" + TIME, b"\x02" + TIME[:3], b"\x82" + b"x" * 17, b"\x82" + b"0" * 17):
        assert parsed(entry("TF", nothing)).modified is None


def test_directories_that_were_moved() -> None:
    assert parsed(entry("CL", both(40))).moved_to == 40
    assert parsed(b"RE\x04\x01").moved


def test_compressed_files() -> None:
    known = b"pz" + bytes((4, 15)) + both(100_000)
    assert parsed(entry("ZF", known)).compressed == Compressed(100_000, 16, 32768)
    unknown = parsed(entry("ZF", b"PZ" + known[2:])).compressed
    assert unknown is not None
    assert not unknown.known


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (entry("NM", b""), "an entry 'NM' is too short; expected at least 1, found 0 bytes"),
        (entry("PX", bytes(31)), "an entry 'PX' is too short"),
        (entry("CL", bytes(7)), "an entry 'CL' is too short"),
        (entry("TF", b""), "an entry 'TF' is too short"),
        (entry("SL", b""), "an entry 'SL' is too short"),
        (entry("ZF", b"pz"), "an entry 'ZF' is too short"),
        (entry("NM", b"\1" + b"n" * 200) * 2, "a name is too long; expected at most 255 bytes, found 400 bytes"),
        (entry("SL", b"\0" + component(b"n" * 240)) * 20, "the target of a symbolic link is too long"),
        (entry("SL", b"\0\0\x09abc"), "a component of a symbolic link goes past its entry"),
        (entry("ZF", b"pz" + bytes((4, 20)) + both(1)), "a file is compressed in a way that is not valid"),
    ],
)
def test_what_is_damaged(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parsed(data)


def test_a_continuation_that_is_too_short() -> None:
    with pytest.raises(FormatError, match="an entry 'CE' is too short"):
        parse_continuation(SystemUseEntry(b"CE", bytes(23)))
