"""Names in a FAT directory: the long one in UTF-16, and the short one that stands for it.

Source: Microsoft "FAT: General Overview of On-Disk Format" 1.03, "FAT Long Directory Entries". An entry has 32 bytes; a
name that is not an upper-case 8.3 name has, before its entry, as many long entries as hold its UTF-16 units by 13, the
last part first, tied to the short name by a checksum.

Short names are made in the order of the names, so the same directory gives the same bytes: up to six characters of the
name, "~" and a number that makes it the only one.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable

from bootpath.core.errors import Error

ENTRY_BYTES = 32
ATTRIBUTE_VOLUME, ATTRIBUTE_DIRECTORY, ATTRIBUTE_ARCHIVE = 0x08, 0x10, 0x20
_ATTRIBUTE_LONG = 0x0F
_LAST_LONG = 0x40
_MAX_UNITS = 255
_UNITS = 13

_PLAIN = re.compile(r"[A-Z0-9_\-$~!#%&{}()@'`^]{1,8}(\.[A-Z0-9_\-$~!#%&{}()@'`^]{1,3})?", re.ASCII)
_FORBIDDEN = re.compile(r'[\x00-\x1f"*/:<>?\\|\x7f]')
_NOT_SHORT = re.compile(r"[^A-Z0-9_\-]", re.ASCII)


def short_names(names: Iterable[str], *, where: str) -> dict[str, bytes]:
    """The eleven bytes of the short name for each name of one directory.

    Raises Error for a name FAT cannot hold, and for two that differ in case alone.
    """
    ordered = sorted(names)
    folded: dict[str, str] = {}
    for name in ordered:
        check_name(name, where=where)
        other = folded.setdefault(name.upper(), name)
        if other != name:
            raise Error("two names differ only in what FAT ignores", where=where, found=f"{other!r} and {name!r}")
    found = {name: _padded(name) for name in ordered if _PLAIN.fullmatch(name)}
    taken = set(found.values())
    numbers: dict[tuple[str, str], int] = {}
    for name in ordered:
        if name not in found:
            found[name] = _numbered(name, taken, numbers)
            taken.add(found[name])
    return found


def check_name(name: str, *, where: str) -> None:
    """Raises Error for a name that FAT cannot hold."""
    try:
        units = len(name.encode("utf-16-le")) // 2
    except UnicodeEncodeError:
        raise Error("the name is not UTF-8", where=where, found=ascii(name)) from None
    if _FORBIDDEN.search(name) or name.endswith((".", " ")) or not 0 < units <= _MAX_UNITS:
        raise Error("the name cannot be written on FAT", where=where, found=ascii(name))


def entry_count(name: str) -> int:
    """Entries a name takes."""
    return 1 if _PLAIN.fullmatch(name) else 1 + -(-len(name.encode("utf-16-le")) // 2 // _UNITS)


def pack_entry(short: bytes, attributes: int, cluster: int, size: int, stamp: tuple[int, int]) -> bytes:
    """A short entry; `stamp` is `fat_stamp`."""
    date, time = stamp
    return struct.pack(
        "<11sBBBHHHHHHHI",
        short,
        attributes,
        0,
        0,
        time,
        date,
        date,
        cluster >> 16,
        time,
        date,
        cluster & 0xFFFF,
        size,
    )


def pack_long(name: str, short: bytes) -> bytes:
    """The long entries that come before the short one; none for a name that is short itself."""
    if _PLAIN.fullmatch(name):
        return b""
    encoded = name.encode("utf-16-le")
    count = -(-len(encoded) // 2 // _UNITS)
    if len(encoded) % (2 * _UNITS):
        # "...NUL terminated, and ... padded with 0xFFFF characters"
        encoded = (encoded + b"\0\0").ljust(count * 2 * _UNITS, b"\xff")
    checksum = 0
    for byte in short:
        checksum = ((checksum & 1) << 7) + (checksum >> 1) + byte & 0xFF
    parts = []
    for order in range(count, 0, -1):
        units = encoded[(order - 1) * 2 * _UNITS : order * 2 * _UNITS]
        mark = order | (_LAST_LONG if order == count else 0)
        parts.append(
            struct.pack("<B10sBBB12sH4s", mark, units[:10], _ATTRIBUTE_LONG, 0, checksum, units[10:22], 0, units[22:])
        )
    return b"".join(parts)


def _padded(name: str) -> bytes:
    stem, _, suffix = name.partition(".")
    return f"{stem:8}{suffix:3}".encode("ascii")


def _numbered(name: str, taken: set[bytes], numbers: dict[tuple[str, str], int]) -> bytes:
    """A short name that is not taken; `numbers` has the last number tried for each beginning and suffix."""
    stem, dot, suffix = name.upper().lstrip(".").rpartition(".")
    if not dot:
        stem, suffix = suffix, ""
    stem, suffix = _NOT_SHORT.sub("_", stem.replace(" ", "")), _NOT_SHORT.sub("_", suffix.replace(" ", ""))[:3]
    kind = stem[:6], suffix
    for number in range(numbers.get(kind, 0) + 1, 1_000_000):
        numbers[kind] = number
        tail = f"~{number}"
        short = f"{stem[: 8 - len(tail)] + tail:8}{suffix:3}".encode("ascii")
        if short not in taken:
            return short
    raise Error("the directory has more names than FAT has short ones", where=name)
