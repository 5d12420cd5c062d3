"""The variable store of EDK2, the firmware of QEMU and of many boards: OVMF_VARS.fd.

Sources: PI 1.8 volume 3, §3.2.1 (the header of a firmware volume); EDK2 MdeModulePkg/Include/Guid/VariableFormat.h.
Little endian. The file begins with a firmware volume::

      0 zeros, 16      16 GUID of a volume with variables   32 length of the volume, u64    40 "_FVH"
     44 attributes     48 length of this header, u16        50 checksum: all u16 of the header are 0 together

Behind its header is the store: its GUID (authenticated variables, or plain ones), size u32, format 0x5A, state 0xFE, 28
bytes with what is reserved. The variables follow, each at a multiple of four bytes, up to one without the magic::

      0 magic 0x55AA, u16    2 state, u8    4 attributes, u32
      8 (authenticated: counter u64, time 16, index of a key u32)   then   size of the name u32   of the data u32
        GUID of the vendor     name in UTF-16 with its NUL     data

A bit of the state is cleared by each step of a change: 0x3F is a variable; 0x3E is one that is being replaced, which
counts as long as its successor is not complete; all others are deleted, or were never finished.

Invariants: at most one variable of a name and vendor; every byte of one is inside the store.
"""

from __future__ import annotations

import struct
from uuid import UUID

from bootpath.core.errors import FormatError
from bootpath.formats.efivars.variable import EfiVariable, decode_ucs2

VOLUME_GUID = UUID("fff12b8d-7696-4c8b-a985-2747075b4f50")
AUTHENTICATED_GUID = UUID("aaf32c78-947b-439a-a180-2e144ec37792")
PLAIN_GUID = UUID("ddcf3616-3275-4164-98b6-fe85707ffe7d")

_VOLUME = struct.Struct("<16s16sQ4sIHH")
_STORE = struct.Struct("<16sIBB6x")
_HEAD = struct.Struct("<HBxI")
_SIZES = struct.Struct("<II16s")
_AUTHENTICATION_BYTES = 28
_FORMATTED, _HEALTHY = 0x5A, 0xFE
_MAGIC = 0x55AA
_ADDED, _REPLACED, _UNWRITTEN = 0x3F, 0x3E, 0xFF
_NO_SIZE = 0xFFFFFFFF


def is_edk2_store(data: bytes) -> bool:
    """True for a file that begins with a firmware volume for variables."""
    return data[16:32] == VOLUME_GUID.bytes_le


def parse_edk2_store(data: bytes) -> tuple[EfiVariable, ...]:
    """The variables of a file; what follows its volume may be missing. Raises FormatError."""
    authenticated, start, end = _find_store(data)
    found: dict[tuple[UUID, str], EfiVariable] = {}
    replaced: dict[tuple[UUID, str], EfiVariable] = {}
    while start + _HEAD.size <= end:
        magic, state, attributes = _HEAD.unpack_from(data, start)
        if magic != _MAGIC:
            break
        place = start + _HEAD.size + (_AUTHENTICATION_BYTES if authenticated else 0)
        if place + _SIZES.size > end:
            raise _fault("a variable ends beyond the store", f"byte {place + _SIZES.size}", f"at most byte {end}")
        name_bytes, data_bytes, vendor = _SIZES.unpack_from(data, place)
        if state == _UNWRITTEN or _NO_SIZE in (name_bytes, data_bytes):
            name_bytes = data_bytes = 0
        place += _SIZES.size
        after = place + name_bytes + data_bytes
        if after > end:
            raise _fault("a variable ends beyond the store", f"byte {after}", f"at most byte {end}")
        if state in (_ADDED, _REPLACED):
            name = decode_ucs2(data[place : place + name_bytes])
            guid = UUID(bytes_le=vendor)
            kept = found if state == _ADDED else replaced
            kept.setdefault((guid, name), EfiVariable(name, guid, attributes, data[place + name_bytes : after]))
        start = after + -after % 4
    return tuple({**replaced, **found}.values())


def _find_store(data: bytes) -> tuple[bool, int, int]:
    """Whether variables are authenticated, where the first one is, and where the store ends."""
    if len(data) < _VOLUME.size or not is_edk2_store(data):
        raise _fault("the file does not begin with a volume for variables", data[16:32].hex(), str(VOLUME_GUID))
    _, _, volume_bytes, signature, _, header_bytes, _ = _VOLUME.unpack_from(data)
    if signature != b"_FVH":
        raise _fault("the signature of the firmware volume is wrong", repr(signature), "_FVH")
    start = header_bytes + _STORE.size
    if not _VOLUME.size <= header_bytes or header_bytes % 2 or not start <= volume_bytes <= len(data):
        found = f"a header of {header_bytes} bytes in a volume of {volume_bytes}"
        raise _fault("the size of the firmware volume is wrong", found, f"at most the {len(data)} bytes of the file")
    total = sum(struct.unpack_from(f"<{header_bytes // 2}H", data)) & 0xFFFF
    if total:
        raise _fault("the header of the firmware volume has the wrong checksum", f"{total:#x}", "0")
    guid, size_bytes, formatted, healthy = _STORE.unpack_from(data, header_bytes)
    kind = UUID(bytes_le=guid)
    if kind not in (AUTHENTICATED_GUID, PLAIN_GUID):
        raise _fault("the kind of the variable store is not known", str(kind), f"{AUTHENTICATED_GUID} or {PLAIN_GUID}")
    if (formatted, healthy) != (_FORMATTED, _HEALTHY):
        raise _fault("the variable store is not in use", f"{formatted:#x} and {healthy:#x}", "0x5a and 0xfe")
    end = header_bytes + size_bytes
    if not start <= end <= volume_bytes:
        raise _fault("the variable store ends beyond its volume", f"byte {end}", f"{start} to {volume_bytes}")
    # The first variable is at a multiple of four bytes, too.
    return kind == AUTHENTICATED_GUID, start + -start % 4, end


def _fault(what: str, found: str, expected: str) -> FormatError:
    return FormatError(what, where="EFI variables", found=found, expected=expected)
