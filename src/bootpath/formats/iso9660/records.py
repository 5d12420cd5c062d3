"""Directory records of ISO 9660, one after the other as they stand in a directory.

Source: ECMA-119 §9.1, §6.8.1.1: no record goes past the end of its sector, and zeros fill what is left. Numbers are
written in both byte orders, of which the first counts::

     0 length, u8    1 length of the extended attributes in blocks, u8    2 first block, u32    10 bytes, u32
    18 time: years since 1900, month, day, hour, minute, second, quarters of an hour east of UTC, 7 bytes
    25 flags, u8 (1 hidden, 2 directory, 4 associated file, 128 goes on in the next record)
    26 blocks of a file unit, u8   27 blocks between units, u8   28 volume, u16   32 length of the name, u8   33 name

Behind the name, and a byte that makes its length odd, is the system use area. Names of one byte 0 and 1 are the
directory itself and the one above.
"""

from __future__ import annotations

import calendar
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from bootpath.core.errors import FormatError
from bootpath.formats.iso9660.descriptors import ECMA_119, SECTOR_BYTES

THIS, ABOVE = b"\0", b"\1"
MIN_RECORD_BYTES = 34
DIRECTORY, ASSOCIATED, MULTI_EXTENT = 0x02, 0x04, 0x80

_RECORD = struct.Struct("<BBI4xI4x7sBBBH2xB")
_NAME_OFFSET = 33
_QUARTER_SECONDS = 15 * 60


@dataclass(frozen=True, slots=True)
class DirectoryRecord:
    """A record. `block` is the first one of the content, behind extended attributes; `system_use` what is behind the
    name. `interleaved` files are in pieces that are not told here.
    """

    name: bytes
    block: int
    size_bytes: int
    flags: int
    seconds: int
    interleaved: bool
    system_use: bytes

    @property
    def is_directory(self) -> bool:
        """True for a directory."""
        return bool(self.flags & DIRECTORY)

    @property
    def goes_on(self) -> bool:
        """True when the next record has more of the same file."""
        return bool(self.flags & MULTI_EXTENT)


def parse_record(data: bytes) -> DirectoryRecord:
    """The record that `data` begins with. Raises FormatError."""
    if len(data) < MIN_RECORD_BYTES or not MIN_RECORD_BYTES <= data[0] <= len(data):
        found = f"{data[0]} of {len(data)} bytes" if data else "no byte"
        raise _fault("the length of a directory record is not valid", found, f"at least {MIN_RECORD_BYTES} bytes")
    length, attributes, block, size, time, flags, unit, gap, _, name_bytes = _RECORD.unpack_from(data)
    end = _NAME_OFFSET + name_bytes
    if not name_bytes or end > length:
        raise _fault("the name goes past the end of its directory record", f"{name_bytes} bytes", "1 byte or more")
    return DirectoryRecord(
        data[_NAME_OFFSET:end],
        block + attributes,
        size,
        flags,
        short_time(time),
        bool(unit or gap),
        data[end + (1 - name_bytes % 2) : length],
    )


def iter_records(data: bytes, first: int = 0) -> Iterator[tuple[int, DirectoryRecord]]:
    """The records of whole sectors of a directory, each with its place; `first` is that of `data`.

    Raises FormatError at one that is damaged.
    """
    place = 0
    while place < len(data):
        end = min(place - place % SECTOR_BYTES + SECTOR_BYTES, len(data))
        if data[place] == 0:
            place = end
            continue
        if place + data[place] > end:
            raise _fault("the sector ends within a directory record", f"byte {first + place}", "one sector")
        yield first + place, parse_record(data[place : place + data[place]])
        place += data[place]


def short_time(raw: bytes) -> int:
    """Seconds since 1970 of the seven bytes in which a record has its time; 0 for one that does not exist."""
    year, month, day, hour, minute, second = raw[:6]
    zone = raw[6] - 256 if raw[6] > 127 else raw[6]
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return 0
    return calendar.timegm((1900 + year, month, day, hour, minute, second)) - zone * _QUARTER_SECONDS


def _fault(what: str, found: str, expected: str) -> FormatError:
    return FormatError(what, where="iso9660", found=found, expected=expected, spec=ECMA_119)
