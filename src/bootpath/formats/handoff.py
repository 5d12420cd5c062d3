"""The environment block a Redox boot loader hands to the kernel, and the keys that describe a live disk in it.

Sources: redox-os/bootloader src/main.rs and src/editor.rs (b74f53a); redox-os/drivers storage/lived (20ffe4d).

Layout: at most 64 KiB of UTF-8, one ``KEY=value`` a line, every line ended by a line feed. Numbers are written
``%016x``: hexadecimal, lower case, no ``0x``. UUIDs are written dashed, in lower case. In canonical order:

==========================================  =====================================================================
RSDP_ADDR, RSDP_SIZE / DTB_ADDR, DTB_SIZE   the hardware description in memory
DISK_LIVE_ADDR, DISK_LIVE_SIZE              the preload: its address, and its length in bytes
DISK_LIVE_PARTIAL=1 (ours)                  the preload is not the file system from end to end: do not copy it as such
DISK_LIVE_EXTENTS=off+len,… (ours)          what the preload holds: byte ranges of the file system in hexadecimal, in
                                            the order they lie packed in memory; absent when it is a prefix
DISK_PHYS_BLOCK                             where the file system begins on the physical disk, in blocks of 4 KiB
REDOXFS_FULL_SIZE                           the whole file system, in bytes
DISK_GUID, PARTITION_GUID (ours)            which disk and partition the preload came from (GPT)
REDOXFS_BLOCK                               where the file system begins on the disk to mount: 0 when live
REDOXFS_UUID                                which file system
REDOXFS_PASSWORD_ADDR, REDOXFS_PASSWORD_SIZE
==========================================  =====================================================================

All other keys are kept as they are, in order, after these. Invariants, held by every `Handoff`: an address comes with
its size and ends within 2^64; a number is never guessed from malformed text; the extents are aligned to 4096,
disjoint, inside the file system and add up to the preload; a preload that is shorter than the file system or packed
says DISK_LIVE_PARTIAL=1, so that a reader that knows only DISK_LIVE_* does not take it for a whole one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from reprlib import repr as brief
from uuid import UUID

from bootpath.core.errors import FormatError
from bootpath.core.extents import Extent

HANDOFF_MAX_BYTES = 64 * 1024
BLOCK_BYTES = 4096

_U64_MAX = 2**64 - 1
_HEX = re.compile(r"[0-9A-Fa-f]{1,16}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

_HEX_KEYS = (
    "RSDP_ADDR",
    "RSDP_SIZE",
    "DTB_ADDR",
    "DTB_SIZE",
    "DISK_LIVE_ADDR",
    "DISK_LIVE_SIZE",
    "DISK_LIVE_PARTIAL",
    "DISK_PHYS_BLOCK",
    "REDOXFS_FULL_SIZE",
    "REDOXFS_BLOCK",
    "REDOXFS_PASSWORD_ADDR",
    "REDOXFS_PASSWORD_SIZE",
)
_UUID_KEYS = ("DISK_GUID", "PARTITION_GUID", "REDOXFS_UUID")
_EXTENTS_KEY = "DISK_LIVE_EXTENTS"
_KNOWN_KEYS = frozenset((*_HEX_KEYS, *_UUID_KEYS, _EXTENTS_KEY))


@dataclass(frozen=True, slots=True, kw_only=True)
class Handoff:
    """What the boot loader knows and the live system needs. See the module docstring for the keys and invariants.

    Raises FormatError when the fields contradict each other.
    """

    rsdp_addr: int | None = None
    rsdp_size_bytes: int | None = None
    dtb_addr: int | None = None
    dtb_size_bytes: int | None = None
    live_addr: int | None = None
    live_size_bytes: int | None = None
    live_partial: bool = False
    live_extents: tuple[Extent, ...] | None = None
    phys_block: int | None = None
    full_size_bytes: int | None = None
    disk_guid: UUID | None = None
    partition_guid: UUID | None = None
    redoxfs_block: int | None = None
    redoxfs_uuid: UUID | None = None
    password_addr: int | None = None
    password_size_bytes: int | None = None
    extra: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        _check_region("RSDP", self.rsdp_addr, self.rsdp_size_bytes)
        _check_region("DTB", self.dtb_addr, self.dtb_size_bytes)
        _check_region("DISK_LIVE", self.live_addr, self.live_size_bytes)
        _check_region("REDOXFS_PASSWORD", self.password_addr, self.password_size_bytes)
        _check_file_system("DISK_PHYS_BLOCK", self.phys_block, self.full_size_bytes)
        _check_file_system("REDOXFS_BLOCK", self.redoxfs_block, self.full_size_bytes)
        _check_preload(self)
        _check_extra(self.extra)

    @property
    def is_live(self) -> bool:
        """True when a preload was handed over."""
        return self.live_addr is not None

    @property
    def phys_offset_bytes(self) -> int | None:
        """Where the file system begins on the physical disk, in bytes."""
        return None if self.phys_block is None else self.phys_block * BLOCK_BYTES

    @property
    def preload_extents(self) -> tuple[Extent, ...]:
        """The ranges of the file system that the preload holds, in the order they lie in memory; () when not live."""
        if self.live_extents is not None:
            return self.live_extents
        return (Extent(0, self.live_size_bytes),) if self.live_size_bytes else ()


def parse_handoff(data: bytes | str) -> Handoff:
    """The handoff in an environment block, exactly as long as the loader said it is. Raises FormatError."""
    numbers: dict[str, int] = {}
    uuids: dict[str, UUID] = {}
    extents: tuple[Extent, ...] | None = None
    extra: list[tuple[str, str]] = []
    seen: set[str] = set()
    for number, line in enumerate(_lines(data), start=1):
        if not line:  # the loader's editor leaves empty lines behind
            continue
        key, equals, value = line.partition("=")
        if not equals or not key:
            raise _fault(f"line {number} has no key and value", found=brief(line), expected="KEY=value")
        if key in seen:
            raise _fault(f"{key} is repeated on line {number}")
        seen.add(key)
        if key in _HEX_KEYS:
            numbers[key] = _number(key, value)
        elif key in _UUID_KEYS:
            if _UUID.fullmatch(value) is None:
                raise _fault(f"{key} is not a UUID", found=brief(value), expected="a dashed UUID in lower case")
            uuids[key] = UUID(value)
        elif key == _EXTENTS_KEY:
            extents = tuple(_extent(item) for item in value.split(","))
        else:
            extra.append((key, value))
    partial = numbers.get("DISK_LIVE_PARTIAL")
    if partial not in (None, 1):
        raise _fault("DISK_LIVE_PARTIAL has the wrong value", found=partial, expected="1, or no such key")
    return Handoff(
        rsdp_addr=numbers.get("RSDP_ADDR"),
        rsdp_size_bytes=numbers.get("RSDP_SIZE"),
        dtb_addr=numbers.get("DTB_ADDR"),
        dtb_size_bytes=numbers.get("DTB_SIZE"),
        live_addr=numbers.get("DISK_LIVE_ADDR"),
        live_size_bytes=numbers.get("DISK_LIVE_SIZE"),
        live_partial=partial == 1,
        live_extents=extents,
        phys_block=numbers.get("DISK_PHYS_BLOCK"),
        full_size_bytes=numbers.get("REDOXFS_FULL_SIZE"),
        disk_guid=uuids.get("DISK_GUID"),
        partition_guid=uuids.get("PARTITION_GUID"),
        redoxfs_block=numbers.get("REDOXFS_BLOCK"),
        redoxfs_uuid=uuids.get("REDOXFS_UUID"),
        password_addr=numbers.get("REDOXFS_PASSWORD_ADDR"),
        password_size_bytes=numbers.get("REDOXFS_PASSWORD_SIZE"),
        extra=tuple(extra),
    )


def pack_handoff(handoff: Handoff) -> bytes:
    """The canonical environment block. Raises FormatError when it would not fit in 64 KiB."""
    extents = handoff.live_extents
    packed = None if extents is None else ",".join(f"{extent.offset:x}+{extent.length:x}" for extent in extents)
    pairs = (
        ("RSDP_ADDR", _hex(handoff.rsdp_addr)),
        ("RSDP_SIZE", _hex(handoff.rsdp_size_bytes)),
        ("DTB_ADDR", _hex(handoff.dtb_addr)),
        ("DTB_SIZE", _hex(handoff.dtb_size_bytes)),
        ("DISK_LIVE_ADDR", _hex(handoff.live_addr)),
        ("DISK_LIVE_SIZE", _hex(handoff.live_size_bytes)),
        ("DISK_LIVE_PARTIAL", "1" if handoff.live_partial else None),
        (_EXTENTS_KEY, packed),
        ("DISK_PHYS_BLOCK", _hex(handoff.phys_block)),
        ("REDOXFS_FULL_SIZE", _hex(handoff.full_size_bytes)),
        ("DISK_GUID", _dashed(handoff.disk_guid)),
        ("PARTITION_GUID", _dashed(handoff.partition_guid)),
        ("REDOXFS_BLOCK", _hex(handoff.redoxfs_block)),
        ("REDOXFS_UUID", _dashed(handoff.redoxfs_uuid)),
        ("REDOXFS_PASSWORD_ADDR", _hex(handoff.password_addr)),
        ("REDOXFS_PASSWORD_SIZE", _hex(handoff.password_size_bytes)),
        *handoff.extra,
    )
    data = "".join(f"{key}={value}\n" for key, value in pairs if value is not None).encode()
    if len(data) > HANDOFF_MAX_BYTES:
        raise _fault("the block is too long", found=f"{len(data)} bytes", expected=f"at most {HANDOFF_MAX_BYTES}")
    return data


def _fault(what: str, *, found: object = None, expected: object = None, hint: str | None = None) -> FormatError:
    return FormatError(what, where="handoff", found=found, expected=expected, hint=hint)


def _lines(data: bytes | str) -> list[str]:
    try:
        raw = data.encode() if isinstance(data, str) else bytes(data)
        text = raw.decode()
    except UnicodeError:
        raise _fault("the block is not UTF-8") from None
    if len(raw) > HANDOFF_MAX_BYTES:
        raise _fault("the block is too long", found=f"{len(raw)} bytes", expected=f"at most {HANDOFF_MAX_BYTES}")
    if "\0" in text:
        raise _fault(f"byte {raw.index(0)} is NUL", hint="pass the block's own size, not the memory around it")
    lines = text.split("\n")
    if lines.pop():
        raise _fault("the last line has no line feed", hint="the block was cut short")
    return lines


def _number(key: str, value: str) -> int:
    if _HEX.fullmatch(value) is None:
        raise _fault(f"{key} is not a number", found=brief(value), expected="1 to 16 hexadecimal digits")
    return int(value, 16)


def _extent(item: str) -> Extent:
    offset, plus, length = item.partition("+")
    if not plus:
        raise _fault(f"{_EXTENTS_KEY} has an item of the wrong form", found=brief(item), expected="offset+length")
    return Extent(_number(_EXTENTS_KEY, offset), _number(_EXTENTS_KEY, length))


def _hex(value: int | None) -> str | None:
    return None if value is None else f"{value:016x}"


def _dashed(value: UUID | None) -> str | None:
    return None if value is None else str(value)


def _check_u64(key: str, value: int) -> None:
    if not 0 <= value <= _U64_MAX:
        raise _fault(f"{key} is out of range", found=hex(value), expected="an unsigned 64-bit number")


def _check_region(name: str, addr: int | None, size: int | None) -> None:
    if addr is None and size is None:
        return
    if addr is None or size is None:
        missing, present = ("ADDR", "SIZE") if addr is None else ("SIZE", "ADDR")
        raise _fault(f"{name}_{present} is given without {name}_{missing}")
    _check_u64(f"{name}_ADDR", addr)
    _check_u64(f"{name}_SIZE", size)
    if addr + size > _U64_MAX + 1:
        raise _fault(f"{name}_ADDR + {name}_SIZE is out of range", found=hex(addr + size), expected="at most 2^64")


def _check_file_system(key: str, block: int | None, full_size_bytes: int | None) -> None:
    if full_size_bytes is not None:
        _check_u64("REDOXFS_FULL_SIZE", full_size_bytes)
    if block is None:
        return
    _check_u64(key, block)
    end = block * BLOCK_BYTES + (full_size_bytes or 0)
    if end > _U64_MAX + 1:
        raise _fault(f"the end of the file system at {key} is out of range", found=hex(end), expected="at most 2^64")


def _check_preload(handoff: Handoff) -> None:
    size, full = handoff.live_size_bytes, handoff.full_size_bytes
    if size is None:
        if handoff.live_partial or handoff.live_extents is not None:
            raise _fault("DISK_LIVE_PARTIAL or DISK_LIVE_EXTENTS is given without DISK_LIVE_SIZE")
        return
    if full is not None and size > full:
        raise _fault(
            "DISK_LIVE_SIZE is larger than the file system",
            found=hex(size),
            expected=f"at most REDOXFS_FULL_SIZE ({hex(full)})",
        )
    if handoff.live_extents is not None:
        _check_extents(handoff.live_extents, size, full)
        if not handoff.live_partial:
            raise _fault(
                "DISK_LIVE_EXTENTS is given without DISK_LIVE_PARTIAL=1",
                hint="a reader that does not know the extents would take the packed preload for a prefix",
            )
    elif handoff.live_partial and size == full:
        raise _fault("DISK_LIVE_PARTIAL is 1, but DISK_LIVE_SIZE is all of REDOXFS_FULL_SIZE")
    if full is not None and size < full and not handoff.live_partial:
        raise _fault(
            "DISK_LIVE_SIZE is smaller than the file system",
            found=hex(size),
            expected=f"REDOXFS_FULL_SIZE ({hex(full)}) or DISK_LIVE_PARTIAL=1",
        )


def _check_extents(extents: tuple[Extent, ...], size: int, full: int | None) -> None:
    for extent in extents:
        shown = f"{extent.offset:x}+{extent.length:x}"
        if extent.length == 0 or extent.offset % BLOCK_BYTES or extent.length % BLOCK_BYTES:
            raise _fault(
                f"{_EXTENTS_KEY} has an extent that is empty or not on blocks",
                found=shown,
                expected=f"multiples of {BLOCK_BYTES}",
            )
        limit = _U64_MAX if full is None else full
        if extent.end > limit:
            raise _fault(
                f"{_EXTENTS_KEY} has an extent past the end", found=shown, expected=f"an end of at most {limit:x}"
            )
    ordered = sorted(extents)
    for before, after in pairwise(ordered):
        if before.overlaps(after):
            raise _fault(f"{_EXTENTS_KEY} has byte {after.offset:x} twice")
    total = sum(extent.length for extent in extents)
    if total != size:
        raise _fault(f"{_EXTENTS_KEY} has the wrong sum", found=hex(total), expected=f"DISK_LIVE_SIZE ({hex(size)})")


def _check_extra(extra: tuple[tuple[str, str], ...]) -> None:
    seen: set[str] = set()
    for key, value in extra:
        if not key or "=" in key or key in _KNOWN_KEYS or key in seen:
            raise _fault(f"the extra key {brief(key)} is empty, known, repeated or has a '='")
        if any(character in text for text in (key, value) for character in "\n\0"):
            raise _fault(f"{brief(key)} or its value {brief(value)} has a line feed or a NUL")
        try:
            f"{key}{value}".encode()
        except UnicodeEncodeError:
            raise _fault(f"{brief(key)} or its value {brief(value)} has a lone surrogate") from None
        seen.add(key)
