"""What machine a device tree describes: the properties of its root node, and nothing else of it.

Source: Devicetree Specification 0.4, §5 "Flattened Devicetree (DTB) Format", §2.3.1 "compatible"; big-endian::

    header      0 0xd00dfeed    4 totalsize    8 off_dt_struct    12 off_dt_strings    24 last_comp_version
    structure   tokens u32: 1 begin node (name, NUL), 3 property (length u32, name's offset u32, value), 4 nothing,
                2 end node; each padded to four bytes

"Within each node, properties precede child nodes": so the root's are at the beginning, and the walk ends with them.
Invariant: everything that is read is inside `totalsize`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from bootpath.core.errors import FormatError

_SPEC = "Devicetree Specification 0.4 §5"
_MAGIC, _COMPATIBLE_VERSION = 0xD00DFEED, 17
_HEADER = struct.Struct(">IIII8xI12x")
_WORD, _PROPERTY = struct.Struct(">I"), struct.Struct(">II")
_BEGIN_NODE, _PROP, _NOP = 1, 3, 4
_TOKEN_BYTES = 4
_COMPATIBLE, _MODEL = b"compatible\0", b"model\0"
_MAX_PROPERTIES = 1000


@dataclass(frozen=True, slots=True)
class DeviceTree:
    """`compatible`: the names of the machine, the most specific first; `model`: its maker's name for it, or ""."""

    compatible: tuple[str, ...]
    model: str = ""


def parse_devicetree(data: bytes) -> DeviceTree:
    """The root node of a whole file. Raises FormatError when it is no device tree."""
    if len(data) < _HEADER.size or _WORD.unpack_from(data)[0] != _MAGIC:
        raise _fault("the file is no device tree", f"{len(data)} bytes", f"a header with {_MAGIC:#x}")
    _, size, structure, strings, oldest = _HEADER.unpack_from(data)
    if size > len(data):
        raise _fault("the device tree is cut short", f"{len(data)} bytes", f"{size} bytes")
    if oldest > _COMPATIBLE_VERSION:
        raise _fault("the version is too new", str(oldest), f"one compatible with {_COMPATIBLE_VERSION}")
    found = dict(_properties(data[:size], structure, strings))
    compatible = tuple(_text(part) for part in found.get(_COMPATIBLE, b"").split(b"\0") if part)
    return DeviceTree(compatible, _text(found.get(_MODEL, b"").partition(b"\0")[0]))


def _properties(data: bytes, at: int, strings: int) -> Iterator[tuple[bytes, bytes]]:
    """Those properties of the first node of the structure, the root, whose names are known here."""
    if _word(data, at) != _BEGIN_NODE:
        raise _fault("the structure does not begin with a node", f"{_word(data, at)}", f"{_BEGIN_NODE}")
    end = data.find(b"\0", at + _TOKEN_BYTES)
    if end < 0:
        raise _fault("the root's name does not end", f"byte {at + _TOKEN_BYTES}", "a NUL behind it")
    at = _aligned(end + 1)
    for _ in range(_MAX_PROPERTIES):
        token = _word(data, at)
        at += _TOKEN_BYTES
        if token == _NOP:
            continue
        if token != _PROP:
            return
        if at + _PROPERTY.size > len(data):
            break
        length, name = _PROPERTY.unpack_from(data, at)
        at += _PROPERTY.size
        if at + length > len(data):
            break
        for known in (_COMPATIBLE, _MODEL):
            if data.startswith(known, strings + name):
                yield known, data[at : at + length]
        at = _aligned(at + length)
    else:
        raise _fault("the root has too many properties", "more", f"at most {_MAX_PROPERTIES}")
    raise _fault("a property goes past the end", f"an end after byte {len(data)}", "one inside the tree")


def _word(data: bytes, at: int) -> int:
    if at + _WORD.size > len(data):
        raise _fault("the structure goes past the end", f"byte {at}", f"at most {len(data) - _WORD.size}")
    value: int = _WORD.unpack_from(data, at)[0]
    return value


def _aligned(at: int) -> int:
    return at + 3 & ~3


def _text(value: bytes) -> str:
    return value.decode("ascii", "backslashreplace")


def _fault(what: str, found: str, expected: str) -> FormatError:
    return FormatError(what, where="device tree", found=found, expected=expected, spec=_SPEC)
