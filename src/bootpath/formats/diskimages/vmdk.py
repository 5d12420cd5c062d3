"""Which other files a VMDK names: its extents, and the image below it.

Sources: VMware "Virtual Disk Format 5.0"; QEMU block/vmdk.c. The descriptor is text, a file of its own or embedded in a
sparse extent, whose header says where, in sectors (little endian)::

     0 "KDMV"   4 version, u32   12 sectors of the disk, u64   28 descriptor's first sector, u64   36 its sectors, u64

    parentCID=ffffffff                      another value: there is an image below, parentFileNameHint="…"
    RW 20480 SPARSE "disk-s001.vmdk"        an extent in another file, or in this one

QEMU reads the line of an extent with sscanf, which takes more for one than the format allows: a sign, a number with a
word right behind it, a record over several lines. A line that begins as one must be one here.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from bootpath.core.errors import FormatError
from bootpath.formats.diskimages.recognise import VMDK_SPARSE, VMDK_TEXT
from bootpath.formats.region import Region

_MAX_DESCRIPTOR_BYTES = 1 << 20
_SECTOR_BYTES = 512
_MAX_LINE_BYTES = 80
_ACCESSES = (b"RW", b"RDONLY", b"NOACCESS")
_EXTENT = re.compile(rb'\s*[A-Z]+[ \t]+[0-9]+[ \t]+\w+(?:[ \t]+"([^"\r]*)"(?:[ \t]+[^"]*)?)?\s*')
_PARENT = re.compile(rb"^\s*parentCID\s*=\s*([0-9a-fA-F]+)", re.MULTILINE)
_HINT = re.compile(rb'^\s*parentFileNameHint\s*=\s*"?([^"\n]*)', re.MULTILINE)
_NO_PARENT = b"ffffffff"


@dataclass(frozen=True, slots=True)
class VmdkNames:
    """`extents` are those in other files; `parent` is the image below, "" when it is not named."""

    extents: tuple[str, ...]
    parent: str | None


def read_vmdk_names(region: Region) -> VmdkNames:
    """What the descriptor says. Raises FormatError, DeviceError."""
    if region.peek(0, len(VMDK_TEXT)) == VMDK_TEXT:
        text = region.peek(0, _MAX_DESCRIPTOR_BYTES)
        return VmdkNames(tuple(_extents(text)), _parent(text))
    if region.peek(0, 4) != VMDK_SPARSE:
        return VmdkNames((), None)  # COWD has no descriptor
    check_capacity(region)
    at, sectors = struct.unpack("<QQ", region.read(28, 16, "the header"))
    length = sectors * _SECTOR_BYTES
    if not at or not length:
        return VmdkNames((), None)
    if length > _MAX_DESCRIPTOR_BYTES:
        raise FormatError(
            "the descriptor is too large", where="VMDK", found=length, expected=f"at most {_MAX_DESCRIPTOR_BYTES}"
        )
    return VmdkNames((), _parent(region.read(at * _SECTOR_BYTES, length, "the descriptor")))


def check_capacity(region: Region) -> None:
    """Raises FormatError for a sparse extent without sectors, which may name other files; DeviceError.

    QEMU reads a descriptor in such a one as if it stood alone.
    """
    if region.peek(0, len(VMDK_SPARSE)) == VMDK_SPARSE and not any(region.read(12, 8, "the header")):
        raise FormatError("the header has no capacity", where="VMDK", found=0, expected="at least one sector")


def _extents(text: bytes) -> Iterator[str]:
    """The names of files. Raises FormatError."""
    for line in text.split(b"\n"):
        if not line.lstrip().startswith(_ACCESSES) or line.split(None, 1)[0] not in _ACCESSES:
            continue
        found = _EXTENT.fullmatch(line)
        if found is None:
            raise FormatError(
                "the line of an extent is not valid",
                where="VMDK",
                found=repr(_text(line[:_MAX_LINE_BYTES])),
                expected='RW 20480 FLAT "NAME" 0',
            )
        if found[1]:
            yield _text(found[1])


def _parent(text: bytes) -> str | None:
    found = _PARENT.search(text)
    hint = _HINT.search(text)
    if (found is None or found[1].lower() == _NO_PARENT) and hint is None:
        return None
    return "" if hint is None else _text(hint[1])


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
