"""FIT images, U-Boot's container for a kernel and what belongs to it: here a Linux for x86 and its initrd.

Sources: Devicetree Specification 0.4, §5 (the flattened form, version 17); U-Boot doc/uImage.FIT/source_file_format.txt
and x86-fit-boot.txt; Linux Documentation/arch/x86/boot.rst. A FIT is a device tree whose nodes hold the files::

    /images/{kernel,setup,ramdisk}       data, type, arch, os, compression, load, entry; hash-1 { algo, value }
    /configurations { default, linux }   which of the images make a boot
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

MIB = 1 << 20
SECTOR_BYTES = 512
SETUP_SECTORS_OFFSET = 0x1F1
"""In a bzImage: how many sectors of setup follow the first one. The rest is what runs in protected mode."""

# U-Boot for QEMU loads a FIT to 16 MiB, and lives at the end of the RAM itself.
SETUP_ADDRESS = 0x90000
KERNEL_ADDRESS = MIB
INITRD_ADDRESS = 128 * MIB
"""Above all that a distribution's kernel takes, from 16 MiB on, to unpack itself (init_size of its header)."""

_MAGIC, _VERSION, _COMPATIBLE_VERSION = 0xD00DFEED, 17, 16
_HEADER = struct.Struct(">10I")
_NO_RESERVATIONS = bytes(16)
_BEGIN_NODE, _END_NODE, _PROPERTY, _END = 1, 2, 3, 9


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a device tree. A property is a string, a number of 32 bits, or bytes."""

    name: str
    properties: Mapping[str, str | int | bytes]
    children: tuple[Node, ...] = ()


def make_fit(kernel: bytes, initrd: bytes) -> bytes:
    """A FIT of a bzImage, cut in two as bootm wants it on x86, and its initrd."""
    setup_bytes = (kernel[SETUP_SECTORS_OFFSET] + 1) * SECTOR_BYTES
    images = (
        _image("kernel", "kernel", kernel[setup_bytes:], KERNEL_ADDRESS),
        _image("setup", "x86_setup", kernel[:setup_bytes], SETUP_ADDRESS),
        _image("ramdisk", "ramdisk", initrd, INITRD_ADDRESS),
    )
    configuration = Node("linux", {image.name: image.name for image in images})
    tree = Node(
        "",
        {"description": "Linux and its initrd", "timestamp": 0, "#address-cells": 1},
        (Node("images", {}, images), Node("configurations", {"default": configuration.name}, (configuration,))),
    )
    return pack_devicetree(tree)


def pack_devicetree(root: Node) -> bytes:
    """The tree in its flattened form."""
    names: dict[str, int] = {}
    structure = _pack_node(root, names) + struct.pack(">I", _END)
    strings = b"".join(name.encode() + b"\0" for name in names)
    structure_offset = _HEADER.size + len(_NO_RESERVATIONS)
    strings_offset = structure_offset + len(structure)
    header = _HEADER.pack(
        _MAGIC,
        strings_offset + len(strings),
        structure_offset,
        strings_offset,
        _HEADER.size,
        _VERSION,
        _COMPATIBLE_VERSION,
        0,
        len(strings),
        len(structure),
    )
    return header + _NO_RESERVATIONS + structure + strings


def _image(name: str, kind: str, data: bytes, address: int) -> Node:
    properties: dict[str, str | int | bytes] = {
        "data": data,
        "type": kind,
        "arch": "x86",  # entered in 32-bit mode, which a 64-bit kernel leaves by itself
        "os": "linux",
        "compression": "none",
        "load": address,
        "entry": address,
    }
    return Node(name, properties, (Node("hash-1", {"algo": "sha256", "value": sha256(data).digest()}),))


def _pack_node(node: Node, names: dict[str, int]) -> bytes:
    """The node; `names` are the strings so far, each with its offset, and grow."""
    pieces = [struct.pack(">I", _BEGIN_NODE), _aligned(node.name.encode() + b"\0")]
    for name, value in node.properties.items():
        offset = names.setdefault(name, sum(len(known.encode()) + 1 for known in names))
        content = _pack_value(value)
        pieces += [struct.pack(">III", _PROPERTY, len(content), offset), _aligned(content)]
    pieces += [_pack_node(child, names) for child in node.children]
    return b"".join((*pieces, struct.pack(">I", _END_NODE)))


def _pack_value(value: str | int | bytes) -> bytes:
    match value:
        case str():
            return value.encode() + b"\0"
        case int():
            return struct.pack(">I", value)
        case bytes():
            return value


def _aligned(content: bytes) -> bytes:
    return content + bytes(-len(content) % 4)
