from __future__ import annotations

import gzip
import lzma

import pytest

from bootpath.formats.diskimages.recognise import ImageKind, recognise


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (gzip.compress(b"x"), ImageKind.GZIP),
        (lzma.compress(b"x"), ImageKind.XZ),
        (b"\x28\xb5\x2f\xfd", ImageKind.ZSTD),
        (b"\x50\x2a\x4d\x18\x04\0\0\0", ImageKind.ZSTD),
        (b"BZh91AY&SY", ImageKind.BZIP2),
        (b"BZh, said the bee", None),
        (b"\x04\x22\x4d\x18", ImageKind.LZ4),
        (b"QFI\xfb\0\0\0\x01", ImageKind.QCOW),
        (b"QFI\xfb\0\0\0\x03", ImageKind.QCOW2),
        (b"QED\0", ImageKind.QED),
        (b"KDMV", ImageKind.VMDK),
        (b"COWD", ImageKind.VMDK),
        (b"# Disk DescriptorFile\n", ImageKind.VMDK),
        (b"vhdxfile", ImageKind.VHDX),
        (b"conectix", ImageKind.VHD),
        (b"<<< Oracle VM VirtualBox Disk Image >>>\n".ljust(64, b"\0") + b"\x7f\x10\xda\xbe", ImageKind.VDI),
        (b"\xeb\x3c\x90".ljust(64, b"\0") + b"\x7f\x10\xda\xbe", None),
        (b"\x3a\xff\x26\xed", ImageKind.ANDROID_SPARSE),
        (b"\0QFI\xfb\0\0\0\x03", None),
        (b"", None),
        (bytes(512), None),
    ],
)
def test_kind(head: bytes, kind: ImageKind | None) -> None:
    assert recognise(head) is kind
