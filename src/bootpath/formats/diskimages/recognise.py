"""What kind of disk image a file is, by its very first bytes and by nothing else.

Sources: RFC 1952 §2.3.1; The .xz File Format 1.2 §2.1.1.1; RFC 8878 §3.1; LZ4 Frame Format 1.6; QEMU
docs/interop/qcow2.rst and block/qcow.c, qed.h, vdi.c; VMware Virtual Disk Format 5.0; MS-VHDX §2.1; Virtual Hard Disk
Image Format 1.0; AOSP libsparse sparse_format.h.

A name says nothing, and what stands further behind belongs to whoever writes to the disk: a fixed VHD, whose only mark
is its last sector, is a raw disk here.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

HEAD_BYTES = 512
"""How much of a file is looked at."""


class ImageKind(Enum):
    """A format, by the name that people have for it."""

    GZIP = "gzip"
    XZ = "xz"
    ZSTD = "zstd"
    BZIP2 = "bzip2"
    LZ4 = "LZ4"
    QCOW = "qcow"
    QCOW2 = "qcow2"
    QED = "QED"
    VMDK = "VMDK"
    VHDX = "VHDX"
    VHD = "VHD"
    VDI = "VDI"
    ANDROID_SPARSE = "Android sparse image"


COMPRESSED = frozenset((ImageKind.GZIP, ImageKind.XZ, ImageKind.ZSTD))
"""Those of which all that is known is that they are unpacked to something."""
VIRTUAL = frozenset((ImageKind.QCOW, ImageKind.QCOW2, ImageKind.VMDK, ImageKind.VHDX, ImageKind.VHD, ImageKind.VDI))
"""Disks of virtual machines, which QEMU reads for us."""

SPARSE_MAGIC = b"\x3a\xff\x26\xed"  # 0xED26FF3A, little-endian
QCOW_MAGIC = b"QFI\xfb"
VMDK_TEXT = b"# Disk DescriptorFile"
VMDK_SPARSE = b"KDMV"

_MAGICS: Sequence[tuple[int, bytes, ImageKind]] = (
    (0, b"\x1f\x8b\x08", ImageKind.GZIP),
    (0, b"\xfd7zXZ\0", ImageKind.XZ),
    (0, b"\x28\xb5\x2f\xfd", ImageKind.ZSTD),
    (0, b"BZh", ImageKind.BZIP2),
    (0, b"\x04\x22\x4d\x18", ImageKind.LZ4),
    (0, b"QFI\xfb\0\0\0\x01", ImageKind.QCOW),
    (0, QCOW_MAGIC, ImageKind.QCOW2),
    (0, b"QED\0", ImageKind.QED),
    (0, VMDK_SPARSE, ImageKind.VMDK),
    (0, b"COWD", ImageKind.VMDK),
    (0, VMDK_TEXT, ImageKind.VMDK),
    (0, b"vhdxfile", ImageKind.VHDX),
    (0, b"conectix", ImageKind.VHD),
    (0x40, b"\x7f\x10\xda\xbe", ImageKind.VDI),
    (0, SPARSE_MAGIC, ImageKind.ANDROID_SPARSE),
)
# bzip2's compressed block, or its end mark, follow the magic: "BZh" alone begins words.
_BZIP2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")


def recognise(head: bytes) -> ImageKind | None:
    """The kind of a file that begins with `head`; None for a plain disk, and for what is not known."""
    for offset, magic, kind in _MAGICS:
        if head[offset : offset + len(magic)] == magic:
            if kind is ImageKind.BZIP2 and head[4:10] not in _BZIP2_BLOCKS:
                continue
            if kind is ImageKind.VDI and not head.startswith(b"<<<"):
                continue  # a boot sector may have these four bytes
            return kind
    # "Skippable frames": what they hold says what the file is not; only zstd's and LZ4's files may begin with one.
    if len(head) >= 8 and head[0] & 0xF0 == 0x50 and head[1:4] == b"\x2a\x4d\x18":
        return ImageKind.ZSTD
    return None
