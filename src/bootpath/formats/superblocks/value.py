"""What every superblock says, whatever its format.

`kind` is the name that blkid(8) gives the format (TYPE), so that our answers can be compared with it and with udev's
ID_FS_TYPE. A UUID is text, as the format writes it: FAT has eight digits, LVM2 letters.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from bootpath.core.errors import FormatError

_NIL = UUID(int=0)


class Checksum(Enum):
    """What is known of a superblock's own checksum. A wrong one is a FormatError, so it is none of these."""

    NONE = "none"  # this format, or this file system, has none
    VALID = "valid"
    UNCHECKED = "unchecked"  # there is one, of a kind that is not computed here


@dataclass(frozen=True, slots=True, kw_only=True)
class Superblock:
    """A file system, or another user of a device, by its superblock.

    `offset` is where the superblock (or the signature) stands, in bytes from the beginning of the region; `size_bytes`
    what the file system claims to take there, 0 where the format does not say; `read_only` is True when the format
    can only be read (squashfs, erofs). `uuid` is None and `label` "" where there is none.
    """

    kind: str
    offset: int
    uuid: str | None
    label: str
    block_bytes: int
    size_bytes: int
    read_only: bool = False
    checksum: Checksum = Checksum.NONE
    version: str = ""


def text_field(raw: bytes) -> str:
    """A padded text of a superblock, up to its first NUL; bytes that are not UTF-8 become U+FFFD."""
    return raw.partition(b"\0")[0].decode("utf-8", "replace")


def uuid_field(raw: bytes) -> str | None:
    """16 bytes as a dashed UUID, None when they are all zeros."""
    value = UUID(bytes=raw)
    return None if value == _NIL else str(value)


def fault(kind: str, what: str, found: object, expected: object, *, spec: str | None = None) -> FormatError:
    """The error for a superblock that claims to be a `kind` and is damaged."""
    return FormatError(what, where=kind, found=found, expected=expected, spec=spec)


def power_of_two(kind: str, what: str, value: int, least: int, most: int) -> int:
    """`value`. Raises FormatError when it is not a power of two from `least` to `most`."""
    if value & (value - 1) or not least <= value <= most:
        raise fault(kind, f"{what} is not valid", value, f"a power of two from {least} to {most}")
    return value


def shifted(kind: str, what: str, bits: int, least: int, most: int) -> int:
    """2^bits. Raises FormatError when `bits` is not from `least` to `most`."""
    if not least <= bits <= most:
        raise fault(kind, f"{what} is out of range", f"2^{bits}", f"2^{least} to 2^{most}")
    return 1 << bits


def checksum_field(kind: str, found: int, expected: int, digits: int = 8) -> Checksum:
    """VALID. Raises FormatError when the stored checksum `found` is not the computed one."""
    if found != expected:
        raise fault(kind, "the checksum does not match", f"0x{found:0{digits}x}", f"0x{expected:0{digits}x}")
    return Checksum.VALID
