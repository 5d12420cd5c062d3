"""Rock Ridge: names, modes, links and times of Unix in the system use areas of ISO 9660.

Source: System Use Sharing Protocol (IEEE P1281, draft 1.12), Rock Ridge Interchange Protocol (IEEE P1282, draft 1.12),
zisofs format (H. P. Anvin). An entry is two letters, its length and version, u8 each, and its data; numbers are in both
byte orders, of which the first counts. Those read here::

    SP  be ef, skipped bytes u8: the protocol is in use     ER  an extension is named: Rock Ridge is there
    CE  block, offset, length: goes on there                ST  ends
    NM  flags u8 (1 goes on, 2 ".", 4 ".."), name           PX  mode, links, uid, gid, serial number
    SL  flags u8 (1 goes on), components                    TF  flags u8, times
    CL  block of a directory that was moved up              RE  it was moved here, and is listed where it belongs
    PN  device number, high and low                         ZF  "pz", header/4 u8, log2(block), size: zlib-compressed

A component of a link: flags u8 (1 goes on, 2 ".", 4 "..", 8 the root), length u8, text. An entry that is unknown is
passed over; one whose length cannot be right ends the area, as in Linux.
"""

from __future__ import annotations

import calendar
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from bootpath.core.errors import FormatError
from bootpath.formats.iso9660.records import short_time

MAX_NAME_BYTES = 255
MAX_TARGET_BYTES = 4096
SUSP = "IEEE P1281"
RRIP = "IEEE P1282"

_HEADER_BYTES = 4
_GOES_ON, _THIS, _ABOVE, _ROOT = 1, 2, 4, 8
_CREATED, _MODIFIED, _LONG_FORM = 1, 2, 0x80
_SHORT_TIME_BYTES, _LONG_TIME_BYTES = 7, 17


@dataclass(frozen=True, slots=True)
class SystemUseEntry:
    """An entry of a system use area: two letters, and the bytes behind length and version."""

    tag: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Continuation:
    """Where an area goes on: `length` bytes at `offset` in a block."""

    block: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Compressed:
    """A file in zisofs: its size when it is unpacked, the bytes of its header and of a block.

    `known` is False when it is compressed in a way that is not zlib's.
    """

    size_bytes: int
    header_bytes: int
    block_bytes: int
    known: bool = True


@dataclass(frozen=True, slots=True)
class RockRidge:
    """What the area of a record says; None where it says nothing.

    `moved_to` is the block of a directory that is somewhere else in the tree; `moved` one that is listed elsewhere.
    """

    name: bytes | None = None
    mode: int | None = None
    links: int = 1
    uid: int = 0
    gid: int = 0
    serial: int = 0
    target: bytes | None = None
    modified: int | None = None
    moved_to: int | None = None
    moved: bool = False
    compressed: Compressed | None = None


def parse_entries(area: bytes) -> Iterator[SystemUseEntry]:
    """The entries of an area, until it ends."""
    place = 0
    while place + _HEADER_BYTES <= len(area):
        tag, length = area[place : place + 2], area[place + 2]
        if length < _HEADER_BYTES or place + length > len(area) or tag == b"ST":
            return
        yield SystemUseEntry(tag, area[place + _HEADER_BYTES : place + length])
        place += length


def parse_skip(entry: SystemUseEntry) -> int | None:
    """The bytes that SP says are skipped in each area but the first; None for another entry, or a wrong one."""
    return entry.data[2] if entry.tag == b"SP" and len(entry.data) >= 3 and entry.data[:2] == b"\xbe\xef" else None


def parse_continuation(entry: SystemUseEntry) -> Continuation:
    """What CE says. Raises FormatError."""
    _least(entry, 24)
    return Continuation(*(_number(entry, at) for at in (0, 8, 16)))


def parse_rock_ridge(entries: list[SystemUseEntry]) -> RockRidge:
    """What the entries of a record say together. Raises FormatError."""
    values: dict[str, object] = {}
    name, named = b"", False
    links = _Target()
    for entry in entries:
        match entry.tag:
            case b"NM":
                _least(entry, 1)
                # "." and ".." are known by the record; other flags are reserved.
                if not entry.data[0] & ~_GOES_ON:
                    name, named = name + entry.data[1:], True
                    _at_most("a name", len(name), MAX_NAME_BYTES)
            case b"PX":
                _least(entry, 32)
                mode, count, uid, gid = (_number(entry, at) for at in (0, 8, 16, 24))
                serial = _number(entry, 32) if len(entry.data) >= 40 else 0
                values |= {"mode": mode, "links": count, "uid": uid, "gid": gid, "serial": serial}
            case b"SL":
                links.take(entry)
            case b"TF":
                _least(entry, 1)
                values["modified"] = _modified(entry.data)
            case b"CL":
                _least(entry, 8)
                values["moved_to"] = _number(entry, 0)
            case b"RE":
                values["moved"] = True
            case b"ZF":
                values["compressed"] = _compressed(entry)
    if named and name:
        values["name"] = name
    return RockRidge(target=links.target, **values)  # type: ignore[arg-type]


class _Target:
    """Puts the components of a link together."""

    def __init__(self) -> None:
        self.target: bytes | None = None
        self._joins = True  # no "/" before the next component

    def take(self, entry: SystemUseEntry) -> None:
        _least(entry, 1)
        place = 1
        text = self.target or b""
        while place + 2 <= len(entry.data):
            flags, length = entry.data[place], entry.data[place + 1]
            content = entry.data[place + 2 : place + 2 + length]
            if len(content) != length:
                raise _fault("a component of a symbolic link goes past its entry", f"{length} bytes", "fewer")
            if flags & _ROOT:
                text, self._joins = b"/", True
            else:
                piece = b"." if flags & _THIS else b".." if flags & _ABOVE else content
                text = text + (b"" if self._joins else b"/") + piece
                self._joins = bool(flags & _GOES_ON)
            _at_most("the target of a symbolic link", len(text), MAX_TARGET_BYTES)
            place += 2 + length
        self.target = text


def _modified(data: bytes) -> int | None:
    """The time of the last change; None when it is not among those that are there."""
    flags = data[0]
    if not flags & _MODIFIED:
        return None
    size = _LONG_TIME_BYTES if flags & _LONG_FORM else _SHORT_TIME_BYTES
    start = 1 + (size if flags & _CREATED else 0)
    raw = data[start : start + size]
    if len(raw) < size:
        return None
    if size == _SHORT_TIME_BYTES:
        return short_time(raw)
    if not raw[:16].isdigit():
        return None
    parts = (int(raw[:4]), *(int(raw[at : at + 2]) for at in range(4, 14, 2)))
    zone = raw[16] - 256 if raw[16] > 127 else raw[16]
    return calendar.timegm(parts) - zone * 900 if 1 <= parts[1] <= 12 and 1 <= parts[2] <= 31 and parts[0] else None


def _compressed(entry: SystemUseEntry) -> Compressed:
    _least(entry, 12)
    algorithm, header_units, block_bits = entry.data[:2], entry.data[2], entry.data[3]
    if algorithm != b"pz":
        return Compressed(0, 0, 0, known=False)
    if not 15 <= block_bits <= 17 or header_units < 4:
        found = f"a header of {4 * header_units} bytes, blocks of 2^{block_bits}"
        raise _fault("a file is compressed in a way that is not valid", found, "16 bytes or more, 2^15 to 2^17")
    return Compressed(_number(entry, 4), 4 * header_units, 1 << block_bits)


def _number(entry: SystemUseEntry, at: int) -> int:
    value: int = struct.unpack_from("<I", entry.data, at)[0]
    return value


def _least(entry: SystemUseEntry, length: int) -> None:
    if len(entry.data) < length:
        tag = entry.tag.decode("latin-1")
        raise _fault(f"an entry {tag!r} is too short", f"{len(entry.data)} bytes", f"at least {length}")


def _at_most(what: str, length: int, most: int) -> None:
    if length > most:
        raise _fault(f"{what} is too long", f"{length} bytes", f"at most {most} bytes")


def _fault(what: str, found: str, expected: str) -> FormatError:
    return FormatError(f"corrupt: {what}", where="iso9660", found=found, expected=expected, spec=RRIP)
