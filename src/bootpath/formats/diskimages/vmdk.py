"""Which other files a VMDK names: its extents, and the image below it.

Sources: VMware "Virtual Disk Format 5.0"; QEMU block/vmdk.c. The descriptor is text, a file of its own or embedded in a
sparse extent, whose header says where, in sectors (little endian)::

     0 "KDMV"   4 version, u32   12 sectors of the disk, u64   28 descriptor's first sector, u64   36 its sectors, u64

    parentCID=ffffffff                      another value: there is an image below, parentFileNameHint="…"
    RW 20480 SPARSE "disk-s001.vmdk"        an extent in another file, or in this one
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from bootpath.core.errors import FormatError
from bootpath.formats.diskimages.recognise import VMDK_SPARSE, VMDK_TEXT
from bootpath.formats.region import Region

_MAX_DESCRIPTOR_BYTES = 1 << 20
_SECTOR_BYTES = 512
_EXTENT = re.compile(rb'^\s*(?:RW|RDONLY|NOACCESS)\s+\d+\s+(\w+)(?:\s+"([^"\n]*)")?', re.MULTILINE)
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
        return VmdkNames(tuple(_text(name) for kind, name in _EXTENT.findall(text) if name), _parent(text))
    if region.peek(0, 4) != VMDK_SPARSE:
        return VmdkNames((), None)  # COWD has no descriptor
    capacity, at, sectors = struct.unpack("<Q8xQQ", region.read(12, 32, "the header"))
    if not capacity:
        # QEMU then reads a descriptor that is embedded as one that stands alone.
        raise FormatError("the header has no capacity", where="VMDK", found=0, expected="at least one sector")
    length = sectors * _SECTOR_BYTES
    if not at or not length:
        return VmdkNames((), None)
    if length > _MAX_DESCRIPTOR_BYTES:
        raise FormatError(
            "the descriptor is too large", where="VMDK", found=length, expected=f"at most {_MAX_DESCRIPTOR_BYTES}"
        )
    return VmdkNames((), _parent(region.read(at * _SECTOR_BYTES, length, "the descriptor")))


def _parent(text: bytes) -> str | None:
    found = _PARENT.search(text)
    hint = _HINT.search(text)
    if (found is None or found[1].lower() == _NO_PARENT) and hint is None:
        return None
    return "" if hint is None else _text(hint[1])


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
