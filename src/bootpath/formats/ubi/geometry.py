"""Where UBI's headers are in an image, and how large its eraseblocks: the flash chip knows, a file does not say.

The size of a PEB is in no header. It is given, or the smallest power of two at whose odd multiples most places hold a
sound EC header of the same image; at the odd multiples of half that size data are found.

Source: Linux drivers/mtd/ubi/io.c; ubinize(8).
"""

from __future__ import annotations

from collections.abc import Iterable

from bootpath.core.errors import FormatError
from bootpath.formats.region import Region
from bootpath.formats.ubi.headers import EC_BYTES, UBI_EC_MAGIC, EcHeader, is_intact, parse_ec_header

MIN_PEB_BYTES = 1 << 10
MAX_PEB_BYTES = 16 << 20
MAX_PEBS = 1 << 20

_WHERE = "ubi"
ERASED = 0xFF
_SAMPLES = 8
_PLACES = sorted(times << bits for times in (1, 3) for bits in range(10, 25))
"""Where a PEB begins, whose size is unknown: the first ones of each size that it can have."""
_MAX_HEADERS = 256 << 10
BOOT_SECTOR_BYTES, BOOT_SIGNATURE = 512, b"\x55\xaa"


def find_ec_header(region: Region, peb_bytes: int | None) -> EcHeader:
    """The EC header that says where things are: the first PEB's, or another's when that one is erased or damaged.

    Linux reads the headers of all PEBs, and needs none of them in particular; but it attaches nothing whose headers
    are intact and say what it does not know.
    """
    head = region.peek(0, EC_BYTES)
    try:
        header = parse_ec_header(head)
    except FormatError as error:
        if is_intact(head) or (peb_bytes is not None and peb_bytes < MIN_PEB_BYTES):
            raise error.at(f"{_WHERE}: eraseblock 0") from None
        places = _PLACES if peb_bytes is None else range(peb_bytes, region.size_bytes, peb_bytes)[:MAX_PEBS]
        found = _first_sound(region, places)
        if found is None:
            raise error.at(f"{_WHERE}: no eraseblock is sound, eraseblock 0") from None
        header = found
    if header.data_offset > _MAX_HEADERS:
        raise FormatError(
            "the headers are too long",
            where=_WHERE,
            found=f"{header.data_offset} bytes",
            expected=f"at most {_MAX_HEADERS} bytes",
        )
    return header


def find_peb_bytes(region: Region, first: EcHeader) -> int:
    """The size of an eraseblock, from where others like the first stand. Raises FormatError when there are none."""
    size = MIN_PEB_BYTES
    while size <= min(MAX_PEB_BYTES, region.size_bytes // 2):
        if size > first.data_offset:
            places = list(range(size, region.size_bytes - EC_BYTES, 2 * size))[:_SAMPLES]
            found = missed = 0
            for place in places:
                same = _same_image(region.peek(place, EC_BYTES), first)
                found, missed = found + same, missed + (not same)
                if 2 * missed > len(places):
                    break
            else:
                if found:
                    return size
        size *= 2
    raise FormatError(
        "the eraseblock size cannot be told", where=_WHERE, hint="give it: it is the flash chip's, often 128 KiB"
    )


def seems_ubi(region: Region) -> bool:
    """True when an image of UBI seems to begin here: a sound or damaged PEB, or an erased one before others."""
    head = region.peek(0, EC_BYTES)
    if head.startswith(UBI_EC_MAGIC) or head.count(ERASED) < EC_BYTES:
        return head.startswith(UBI_EC_MAGIC)
    return _has_sound_ones(region)


def seems_damaged_ubi(region: Region) -> bool:
    """True when the first PEBs are neither sound nor erased, and others behind them are: Linux attaches those, too.

    It costs a read at each place where a PEB may begin, so it is for what nothing else was found on. A disk with a
    boot sector is none, whatever its partitions hold.
    """
    head = region.peek(0, BOOT_SECTOR_BYTES)
    if head.startswith(UBI_EC_MAGIC) or head.endswith(BOOT_SIGNATURE):
        return False
    return _has_sound_ones(region)


def _has_sound_ones(region: Region) -> bool:
    try:
        find_peb_bytes(region, find_ec_header(region, None))
    except FormatError:
        return False
    return True


def _first_sound(region: Region, places: Iterable[int]) -> EcHeader | None:
    for place in places:
        if place + EC_BYTES <= region.size_bytes:
            try:
                return parse_ec_header(region.peek(place, EC_BYTES))
            except FormatError:
                continue
    return None


def _same_image(data: bytes, first: EcHeader) -> bool:
    try:
        header = parse_ec_header(data)
    except FormatError:
        return False
    return (header.vid_offset, header.data_offset, header.image_seq) == (
        first.vid_offset,
        first.data_offset,
        first.image_seq,
    )
