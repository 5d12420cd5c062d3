"""Physical volumes written by hand: metadata text, its ring, label. Only what tests need."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

from bootpath.formats.lvm2.label import lvm_crc

Tree: TypeAlias = Mapping[str, Any]
AREA_OFFSET = 4096
MAGIC = b" LVM2 x[5A%r0N*>"


def uuid(number: int) -> str:
    """A UUID as LVM shows it."""
    text = f"{number:032d}"
    cuts = (0, 6, 10, 14, 18, 22, 26, 32)
    return "-".join(text[start:end] for start, end in pairwise(cuts))


def pack_text(tree: Tree, depth: int = 0) -> str:
    """Sections, lists, numbers and strings as LVM2 writes them."""
    indent = "\t" * depth
    lines = []
    for name, value in tree.items():
        if isinstance(value, Mapping):
            lines.append(f"{indent}{name} {{\n{pack_text(value, depth + 1)}{indent}}}\n")
        else:
            lines.append(f"{indent}{name} = {_scalar(value)}\n")
    return "".join(lines)


def _scalar(value: int | str | Sequence[Any]) -> str:
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"[{', '.join(_scalar(part) for part in value)}]"


def physical(number: int, extents: int, *, start: int = 2048, **more: Any) -> dict[str, Any]:
    """A physical volume's section."""
    return {
        "id": uuid(number),
        "device": f"/dev/disk{number}",
        "status": ["ALLOCATABLE"],
        "flags": [],
        "dev_size": 1 << 20,
        "pe_start": start,
        "pe_count": extents,
        **more,
    }


def segment(
    start: int, extents: int, *stripes: object, kind: str = "striped", size: int = 0, **more: Any
) -> dict[str, Any]:
    """A segment; stripes are names and extents in turn."""
    result: dict[str, Any] = {"start_extent": start, "extent_count": extents, "type": kind}
    if stripes:
        result |= {"stripe_count": len(stripes) // 2, "stripes": list(stripes)}
    if size:
        result["stripe_size"] = size
    return result | more


def logical(number: int, *segments: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A logical volume's section."""
    return {
        "id": uuid(number),
        "status": ["READ", "WRITE", "VISIBLE"],
        "flags": [],
        "segment_count": len(segments),
        **{f"segment{index}": dict(part) for index, part in enumerate(segments, start=1)},
        **more,
    }


def group(
    physical_volumes: Tree, logical_volumes: Tree, *, name: str = "vg", number: int = 900, seqno: int = 1, **more: Any
) -> str:
    """The whole text of a group; extents have 8 sectors."""
    section = {
        "id": uuid(number),
        "seqno": seqno,
        "format": "lvm2",
        "status": ["RESIZEABLE", "READ", "WRITE"],
        "flags": [],
        "extent_size": 8,
        **more,
        "physical_volumes": physical_volumes,
        "logical_volumes": logical_volumes,
    }
    return pack_text({name: section, "contents": "Text Format Volume Group", "version": 1})


def put_area(image: bytearray, offset: int, size: int, text: str, *, place: int = 512, flags: int = 0) -> None:
    """A metadata area whose ring has the text at `place`."""
    raw = text.encode() + b"\0"
    ring = bytearray(image[offset + 512 : offset + size])
    for index, byte in enumerate(raw):
        ring[(place - 512 + index) % len(ring)] = byte
    image[offset + 512 : offset + size] = ring
    put_area_header(image, offset, size, [(place, len(raw), lvm_crc(raw), flags)])


def put_area_header(
    image: bytearray,
    offset: int,
    size: int,
    texts: Sequence[tuple[int, int, int, int]],
    *,
    start: int | None = None,
    version: int = 1,
    magic: bytes = MAGIC,
) -> None:
    body = struct.pack("<16sIQQ", magic, version, offset if start is None else start, size)
    body += b"".join(struct.pack("<QQII", *text) for text in texts)
    body = body.ljust(508, b"\0")
    image[offset : offset + 512] = struct.pack("<I", lvm_crc(body)) + body


def put_label(
    image: bytearray, pv_uuid: str, areas: Sequence[tuple[int, int]], *, sector: int = 1, own: int | None = None
) -> None:
    """A label with these metadata areas."""
    header = pv_uuid.replace("-", "").encode() + struct.pack("<Q", len(image))
    header += struct.pack("<QQQQ", 1 << 20, 0, 0, 0)
    header += b"".join(struct.pack("<QQ", *area) for area in areas) + bytes(16)
    body = struct.pack("<I8s", 32, b"LVM2 001") + header
    body = body.ljust(492, b"\0")[:492]
    label = struct.pack("<8sQI", b"LABELONE", sector if own is None else own, lvm_crc(body)) + body
    image[sector * 512 : (sector + 1) * 512] = label


def disk(number: int, text: str | None, *, size: int = 1 << 18, place: int = 512) -> bytearray:
    """A physical volume with its metadata in one area of 16 KiB, or none."""
    image = bytearray(size)
    areas = [] if text is None else [(AREA_OFFSET, 16384)]
    put_label(image, uuid(number), areas)
    if text is not None:
        put_area(image, AREA_OFFSET, 16384, text, place=place)
    return image


def image_volumes(images: Mapping[str, bytes], *, name: str = "internal") -> bytes:
    """A physical volume whose volumes hold these disk images, from extent to extent of a MiB, as Infix makes it."""
    mib = 1 << 20
    extents = {each: -(-len(content) // mib) for each, content in images.items()}
    starts = {each: sum(list(extents.values())[:place]) for place, each in enumerate(extents)}
    volumes = {
        each: logical(number, segment(0, extents[each], "pv0", starts[each]))
        for number, each in enumerate(images, start=1)
    }
    text = group({"pv0": physical(800, sum(extents.values()))}, volumes, name=name, extent_size=mib // 512)
    area = disk(800, text, size=mib)
    return bytes(area) + b"".join(content.ljust(extents[each] * mib, b"\0") for each, content in images.items())
