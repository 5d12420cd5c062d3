"""What is known by its mark and not read any further: archives, programs, update files, members of other managers.

Sources: libblkid's probers (superblocks/*.c); RAUC docs/reference.rst ("Bundle Formats"); SWUpdate
doc/source/swupdate.rst; Mender Artifact format 3; pax(1); cpio(5); ELF; PE; Linux Documentation/arch/x86/boot.rst and
arm64/booting.rst.

A RAUC bundle is a squashfs, behind which are a CMS signature (DER) and its length, u64, big endian, at the end of the
file. In bundles of the formats verity and crypt the manifest is in the CMS; nothing of it is verified here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bootpath.formats.region import HEAD_BYTES, Region

_SQUASHFS = b"hsqs"
_MAX_CMS_BYTES = 1 << 20
_PADDING_BYTES = 512
_MANIFEST = re.compile(rb"^(compatible|version|format)=([^\r\n\0]{1,200})", re.MULTILINE)
_HEAD_BYTES = 2048
_UBERBLOCKS, _UBERBLOCK_BYTES = 128 << 10, 1024
_TAR_RECORD = 512


@dataclass(frozen=True, slots=True)
class Named:
    """`kind` is what it is called, `detail` what more is said there, `hint` what to do with it."""

    kind: str
    detail: str = ""
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.kind} ({self.detail})" if self.detail else self.kind


_MARKS: Sequence[tuple[int, bytes, str]] = (
    (0, b"\x7fELF", "ELF program"),
    (0, b"ANDROID!", "Android boot image"),
    (0, b"\xd0\x0d\xfe\xed", "flattened device tree, or FIT image"),
    (0, b"\x27\x05\x19\x56", "U-Boot legacy image"),
    (0, b"\x45\x3d\xcd\x28", "cramfs"),
    (0, b"-rom1fs-", "romfs"),
    (0, b"\x85\x19\x03\x20", "JFFS2"),
    (0, b"\x85\x19\x01\xe0", "JFFS2"),
    (0, b"\xfc\x4e\x2b\xa9", "Linux RAID member, metadata 1.1"),
    (3, b"NTFS    ", "NTFS"),
    (3, b"-FVE-FS-", "BitLocker"),
    (32, b"NXSB", "APFS"),
    (56, b"ARM\x64", "Linux kernel for arm64"),
    (514, b"HdrS", "Linux kernel for x86"),
    (1024, b"H+\0\x04", "HFS+"),
    (1024, b"HX\0\x05", "HFS+"),
    (1024, b"\x10\x20\xf5\xf2", "F2FS"),
    (1030, b"\x34\x34", "NILFS2"),
    (0xC00, b"PRIVHEAD", "Windows dynamic disk (LDM)"),
    (4096, b"\xfc\x4e\x2b\xa9", "Linux RAID member, metadata 1.2"),
    (4096 + 24, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81", "bcache device"),
    (4096 + 24, b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef", "bcachefs"),
    (32 << 10, b"JFS1", "JFS"),
    ((64 << 10) + 52, b"ReIsEr", "ReiserFS"),
)
"""Offset, magic, name; where the magic is short, what stands before decides that it is asked at all."""


def name_contents(region: Region, *, known: bool) -> tuple[Named, ...]:
    """What a place holds that is not read here. When something in it is `known`, only a bundle's signature is looked
    for. Raises DeviceError."""
    named = list(_bundle(region))
    if known or named:
        return tuple(named)
    if not any(region.peek(0, HEAD_BYTES)):
        return ()  # and no more is read of a place that nobody has written to
    for probe in (_archive, _program, _apple, _marks, _at_end, _zfs):
        named += probe(region)
        if named:
            break
    return tuple(named)


def _bundle(region: Region) -> Iterator[Named]:
    if region.peek(0, 4) != _SQUASHFS or region.size_bytes < 4096:
        return
    tail = region.peek(region.size_bytes - _PADDING_BYTES - 8, _PADDING_BYTES + 8)
    for padding in range(_PADDING_BYTES):
        end = len(tail) - padding
        length = int.from_bytes(tail[end - 8 : end], "big")
        start = region.size_bytes - padding - 8 - length
        # The last block of a file may have been filled up with zeros.
        if 0 < length <= _MAX_CMS_BYTES and start > 0 and _der_bytes(region.peek(start, 6)) == length:
            yield _named_bundle(region.peek(start, length))
            return
        if tail[end - 1]:
            return


def _der_bytes(head: bytes) -> int:
    """The length of a DER SEQUENCE that begins so, 0 for anything else."""
    if len(head) < 6 or head[0] != 0x30 or not 0x81 <= head[1] <= 0x84:
        return 0
    count = head[1] & 0x7F
    return 2 + count + int.from_bytes(head[2 : 2 + count], "big")


def _named_bundle(cms: bytes) -> Named:
    fields = {key.decode(): value.decode("utf-8", "replace").strip() for key, value in _MANIFEST.findall(cms)}
    words = [f"format {fields['format']}" if "format" in fields else "format plain"]
    words += [f"{key} {fields[key]}" for key in ("compatible", "version") if key in fields]
    words.append("its signature is not verified here")
    return Named("RAUC bundle", ", ".join(words), "rauc info shows it; the images for the slots are files in it")


def _archive(region: Region) -> Iterator[Named]:
    head = region.peek(0, _HEAD_BYTES)
    if head[:6] in (b"070701", b"070702", b"070707") or head[:2] == b"\xc7\x71":
        if head[110:125] == b"sw-description\0":
            yield Named("SWUpdate image", "cpio", "swupdate installs it; its images are files of the archive")
        else:
            yield Named("cpio archive", "as an initramfs is", "give it to boot with --initrd, beside a kernel")
    elif head[257:262] == b"ustar":
        if head[:8] == b"version\0" and b'"mender"' in head[_TAR_RECORD : 2 * _TAR_RECORD]:
            yield Named("Mender artifact", "tar", "mender-artifact reads it; its payload is in data/0000.tar")
        else:
            yield Named("tar archive", hint="unpack it: it is no disk")


def _program(region: Region) -> Iterator[Named]:
    head = region.peek(0, _HEAD_BYTES)
    if head[514:518] == b"HdrS":
        yield Named("Linux kernel for x86", hint="give it to boot with --kernel")
        return
    if head[56:60] == b"ARM\x64":
        yield Named("Linux kernel for arm64", hint="give it to boot with --kernel")
        return
    at = int.from_bytes(head[60:64], "little")
    if head[:2] == b"MZ" and len(head) >= 64 and region.peek(at, 4) == b"PE\0\0":
        yield Named("EFI program (PE)", hint="a UKI is started from an EFI partition")


def _apple(region: Region) -> Iterator[Named]:
    if region.peek(0, 2) == b"ER" and any(region.peek(at, 2) == b"PM" for at in (512, 2048)):
        yield Named("Apple partition map")


def _marks(region: Region) -> Iterator[Named]:
    for offset, magic, kind in _MARKS:
        if region.peek(offset, len(magic)) != magic:
            continue
        if kind == "NILFS2" and int.from_bytes(region.peek(1024, 4), "little") != 2:
            continue  # "s_rev_level" 2
        yield Named(kind)


def _at_end(region: Region) -> Iterator[Named]:
    """Members whose metadata is at the end: mdraid 0.90 and 1.0, DRBD."""
    size = region.size_bytes
    if region.peek((size & ~0xFFFF) - 0x10000, 4) == b"\xfc\x4e\x2b\xa9":
        yield Named("Linux RAID member, metadata 0.90")
    elif region.peek((size - 8192) & ~0xFFF, 4) == b"\xfc\x4e\x2b\xa9":
        yield Named("Linux RAID member, metadata 1.0")
    elif region.peek((size & ~0xFFF) - 4096 + 60, 4) in (b"\x83\x74\x02\x6b", b"\x83\x74\x02\x6d"):
        yield Named("DRBD device")


def _zfs(region: Region) -> Iterator[Named]:
    """An uberblock in the first label: its place in the ring depends on the transaction."""
    ring = region.peek(_UBERBLOCKS, _UBERBLOCKS)
    magics = (b"\x0c\xb1\xba\0\0\0\0\0", b"\0\0\0\0\0\xba\xb1\x0c")
    if any(ring[at : at + 8] in magics for at in range(0, len(ring), _UBERBLOCK_BYTES)):
        yield Named("ZFS member")
