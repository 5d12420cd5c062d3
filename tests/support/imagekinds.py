"""One small image of each kind that people hand to bootpath.

To add a kind: write a function that makes the image in `Workshop.folder` and returns its path, and give it a line in
`KINDS`. docs/reference/what-works-on-what.md has a row for each; `make docs` fills it.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

from bootpath.formats.partitions.dps import Architecture, Designator
from bootpath.formats.partitions.gptheader import Partition
from bootpath.formats.partitions.gptwrite import new_gpt, pack_gpt
from tests.support import lvmdisk
from tests.support.bootdisk import boot_part, ext4, fat
from tests.support.ddi import (
    ALIGN_BYTES,
    DISK_GUID,
    GOLDEN,
    PEB_BYTES,
    UBI_DATA_OFFSET,
    Part,
    Signer,
    Volume,
    make_disk,
    make_ubi_image,
    run,
)
from tests.support.images import PASSWORD, make_image
from tests.support.kernels import make_efi_image
from tests.support.linuximage import KERNEL_PATH, RootTree, fake_initrd, fake_kernel, make_volume
from tests.support.tools import tool

MIB = 1 << 20
_MBR_START_SECTOR = 2048
_SPARSE_MAGIC, _SPARSE_RAW, _SPARSE_SKIP = 0xED26FF3A, 0xCAC1, 0xCAC3
_BOOT_ENTRY = b"title OS\nversion 1\nlinux /vmlinuz\ninitrd /initrd\noptions root=LABEL=os quiet\n"
_EXTLINUX = b"label os\n  linux /boot/vmlinuz\n  initrd /boot/initrd\n  append root=/dev/vda2 quiet\n"


@dataclass(frozen=True)
class Workshop:
    """A folder of its own for each kind, and what several kinds are made of, which is made once."""

    folder: Path
    shared: Parts

    def path(self, name: str) -> Path:
        return self.folder / name

    def write(self, name: str, content: bytes) -> Path:
        self.path(name).write_bytes(content)
        return self.path(name)


@dataclass(frozen=True)
class Parts:
    """Roots and their signer."""

    folder: Path

    @cached_property
    def signer(self) -> Signer:
        return Signer.make(self.folder)

    @cached_property
    def plain(self) -> Volume:
        return make_volume(self.folder / "plain", RootTree.demo(), None)

    @cached_property
    def signed(self) -> Volume:
        return make_volume(self.folder / "signed", RootTree.demo(), self.signer)

    @cached_property
    def newer(self) -> Volume:
        return make_volume(self.folder / "newer", RootTree.demo(2), self.signer)

    @cached_property
    def arm(self) -> Volume:
        tree = RootTree({**RootTree.demo().files, KERNEL_PATH: make_efi_image()})
        return make_volume(self.folder / "arm", tree, self.signer)

    @cached_property
    def esp(self) -> bytes:
        return fat(
            self.folder,
            {"vmlinuz": fake_kernel(), "initrd": fake_initrd(), "loader/entries/os.conf": _BOOT_ENTRY},
        )

    @cached_property
    def ext4(self) -> bytes:
        files = {
            "boot/vmlinuz": fake_kernel(),
            "boot/initrd": fake_initrd(),
            "boot/extlinux/extlinux.conf": _EXTLINUX,
            "sbin/init": b"#!",
        }
        return ext4(self.folder, files)


@dataclass(frozen=True)
class ImageKind:
    """A kind of image: how it is made, and what `inspect` has to call it, whatever it thinks of it.

    `called` is empty where nothing knows the kind. `words` are what the commands are given beside the image: options,
    by the name of the command.
    """

    name: str
    make: Callable[[Workshop], Path]
    called: str
    words: Mapping[str, Sequence[str]] = field(default_factory=dict)


def _gpt(path: Path, parts: Sequence[Part]) -> Path:
    """A disk with these partitions, by our own writer: sgdisk takes a second for each."""
    offset, entries = MIB, []
    for number, part in enumerate(parts, start=1):
        sectors = -(-max(part.size_bytes, len(part.content)) // 4096) * 8
        flags = sum(1 << bit for bit in part.flags)
        first = offset // 512
        entries.append(Partition(number, part.type_guid, part.guid, first, first + sectors - 1, flags, part.name))
        offset += -(-sectors * 512 // ALIGN_BYTES) * ALIGN_BYTES
    image = bytearray(offset + MIB)
    for entry, part in zip(entries, parts, strict=True):
        image[entry.offset_bytes : entry.offset_bytes + len(part.content)] = part.content
    for place, content in pack_gpt(new_gpt(len(image), DISK_GUID, entries)):
        image[place : place + len(content)] = content
    path.write_bytes(image)
    return path


def _live(shop: Workshop) -> Path:
    return make_image(shop.folder)


def _locked(shop: Workshop) -> Path:
    shop.write("password", PASSWORD)
    return make_image(shop.folder, password=PASSWORD)


def _esp(shop: Workshop) -> Path:
    parts = [
        boot_part(Designator.ESP, shop.shared.esp, 1),
        Part(Designator.ROOT, shop.shared.ext4, UUID(int=2), "os_1"),
    ]
    return _gpt(shop.path("disk.img"), parts)


def _ddi(
    volume: Callable[[Parts], Volume], architecture: Architecture = Architecture.X86_64
) -> Callable[[Workshop], Path]:
    def make(shop: Workshop) -> Path:
        shop.write("os.crt", shop.shared.signer.certificate.read_bytes())
        return _gpt(shop.path("os.raw"), volume(shop.shared).parts("os_1", architecture=architecture))

    return make


def _bare_root(shop: Workshop) -> Path:
    return _gpt(shop.path("os.raw"), [Part(Designator.ROOT, shop.shared.plain.data, UUID(int=2), "os_1")])


def _slots(shop: Workshop) -> Path:
    """By sgdisk, since our own writer refuses two partitions with one GUID."""
    shop.write("os.crt", shop.shared.signer.certificate.read_bytes())
    volume = shop.shared.signed
    return make_disk(shop.path("ab.img"), [*volume.parts("os_1"), *volume.parts("os_1", serial=2)]).path


def _versions(shop: Workshop) -> Path:
    shop.write("os.crt", shop.shared.signer.certificate.read_bytes())
    parts = [*shop.shared.signed.parts("os_1"), *shop.shared.newer.parts("os_2", serial=2)]
    return _gpt(shop.path("ab.img"), parts)


def _volume_group(shop: Workshop, root: bytes, **more: Mapping[str, Any]) -> Path:
    """A disk that is the physical volume of a group, with the logical volume `root`, and others."""
    extents = -(-len(root) // 4096)
    sectors = 2048 + 8 * (extents + 1)
    text = lvmdisk.group(
        {"pv0": lvmdisk.physical(1, extents, dev_size=sectors)},
        {"root": lvmdisk.logical(2, lvmdisk.segment(0, extents, "pv0", 0)), **more},
        name="vg0",
    )
    image = lvmdisk.disk(1, text, size=512 * sectors)
    image[MIB : MIB + len(root)] = root
    return shop.write("disk.img", bytes(image))


def _lvm(shop: Workshop) -> Path:
    return _volume_group(shop, shop.shared.plain.data)


def _ddi_in_lvm(shop: Workshop) -> Path:
    return _volume_group(shop, _ddi(lambda parts: parts.signed)(shop).read_bytes())


def _lvm_with_thin(shop: Workshop) -> Path:
    """A group with a volume of a kind that is not opened: it says so, and its neighbour is read."""
    thin = lvmdisk.logical(3, lvmdisk.segment(0, 8, kind="thin", thin_pool="pool", transaction_id=0, device_id=1))
    return _volume_group(shop, shop.shared.plain.data, thin=thin)


def _ubi(shop: Workshop) -> Path:
    return make_ubi_image(shop.path("flash.ubi"), {"rootfs": shop.shared.plain.data})


def _ubi_verity(shop: Workshop) -> Path:
    volume = shop.shared.plain
    return make_ubi_image(shop.path("flash.ubi"), {"root": volume.data, "root-verity": volume.hashes})


def _ubifs(shop: Workshop) -> Path:
    """UBIFS for the eraseblocks of `make_ubi_image`."""
    tree = RootTree.demo().write(_made(shop.path("tree")))
    options = ["-m", 512, "-e", PEB_BYTES - UBI_DATA_OFFSET, "-c", 300, "-x", "zlib"]
    run(tool("mkfs.ubifs"), *options, "-r", tree, "-o", shop.path("root.ubifs"))
    return make_ubi_image(shop.path("flash.ubi"), {"rootfs": shop.path("root.ubifs").read_bytes()})


def _bare_ext4(shop: Workshop) -> Path:
    return shop.write("root.ext4", shop.shared.ext4)


def _bare_squashfs(shop: Workshop) -> Path:
    return shop.write("root.squashfs", shop.shared.plain.data)


def _bare_erofs(shop: Workshop) -> Path:
    tree = RootTree.demo().write(_made(shop.path("tree")))
    run(tool("mkfs.erofs"), "--quiet", "-T0", "-U", UUID(int=4), shop.path("root.erofs"), tree)
    return shop.path("root.erofs")


def _superfloppy(shop: Workshop) -> Path:
    return shop.write("floppy.img", shop.shared.esp)


def _golden(name: str) -> Callable[[Workshop], Path]:
    """An image of the real program, from the tests of superblocks."""

    def make(shop: Workshop) -> Path:
        return shop.write(f"{name}.img", gzip.decompress((GOLDEN / f"superblocks/{name}.img.gz").read_bytes()))

    return make


def _mbr(shop: Workshop) -> Path:
    """A disk of a small board: MBR, FAT and ext4 with extlinux.conf."""
    contents = ((0x0C, shop.shared.esp), (0x83, shop.shared.ext4))
    image, entries, sector = bytearray(MIB), b"", _MBR_START_SECTOR
    for number, (kind, content) in enumerate(contents):
        flag = 0x80 if number == 0 else 0
        entries += struct.pack("<B3xB3xII", flag, kind, sector, len(content) // 512)
        image += content
        sector += len(content) // 512
    image[440:444] = struct.pack("<I", 0x12345678)
    image[446 : 446 + len(entries)] = entries
    image[510:512] = b"\x55\xaa"
    return shop.write("board.img", bytes(image))


def _iso(shop: Workshop) -> Path:
    tree = RootTree.demo().write(_made(shop.path("tree")))
    run(tool("xorriso"), "-as", "mkisofs", "-quiet", "-R", "-V", "OS", "-o", shop.path("plain.iso"), tree)
    return shop.path("plain.iso")


def _hybrid_iso(shop: Workshop) -> Path:
    tree, esp = RootTree.demo().write(_made(shop.path("tree"))), shop.write("esp.img", shop.shared.esp)
    command = [tool("xorriso"), "-as", "mkisofs", "-quiet", "-R", "-V", "OS", "-partition_offset", 16]
    command += [
        "-append_partition",
        2,
        "0xef",
        esp,
        "-appended_part_as_gpt",
        "-e",
        "--interval:appended_partition_2:all::",
    ]
    run(*command, "-no-emul-boot", "-o", shop.path("hybrid.iso"), tree)
    return shop.path("hybrid.iso")


def _qcow2(shop: Workshop) -> Path:
    raw = _esp(shop)
    run(tool("qemu-img"), "convert", "-O", "qcow2", raw, shop.path("disk.qcow2"))
    return shop.path("disk.qcow2")


def _packed(suffix: str, pack: Callable[[bytes], bytes]) -> Callable[[Workshop], Path]:
    def make(shop: Workshop) -> Path:
        return shop.write(f"disk.img.{suffix}", pack(_bare_root(shop).read_bytes()))

    return make


def _zstd(content: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor().compress(content)


def _android_sparse(shop: Workshop) -> Path:
    """libsparse's format, version 1.0: a header of 28 bytes, and here one chunk of bytes and one to skip."""
    content, block = shop.shared.ext4, 4096
    blocks, skipped = len(content) // block, 16
    image = struct.pack("<I4H4I", _SPARSE_MAGIC, 1, 0, 28, 12, block, blocks + skipped, 2, 0)
    image += struct.pack("<HHII", _SPARSE_RAW, 0, blocks, 12 + len(content)) + content
    return shop.write("system.simg", image + struct.pack("<HHII", _SPARSE_SKIP, 0, skipped, 12))


def _rauc_bundle(shop: Workshop) -> Path:
    """A squashfs, a CMS signature of it, and the size of that, big-endian, as RAUC's plain format has it."""
    tree = _made(shop.path("tree"))
    (tree / "manifest.raucm").write_text("[update]\ncompatible=test\nversion=1\n\n[image.rootfs]\nfilename=root.img\n")
    (tree / "root.img").write_bytes(bytes(4096))
    run(tool("mksquashfs"), tree, shop.path("bundle.squashfs"), "-noappend", "-quiet", "-no-progress", "-all-root")
    bundle = shop.path("bundle.squashfs").read_bytes()
    signer = shop.shared.signer
    command = [tool("openssl"), "cms", "-sign", "-binary", "-outform", "der", "-signer", signer.certificate]
    run(*command, "-inkey", signer.key, "-in", shop.path("bundle.squashfs"), "-out", shop.path("signature"))
    signature = shop.path("signature").read_bytes()
    return shop.write("update.raucb", bundle + signature + struct.pack(">Q", len(signature)))


def _luks_root(shop: Workshop) -> Path:
    content = gzip.decompress((GOLDEN / "superblocks/luks2.img.gz").read_bytes())
    return _gpt(shop.path("disk.img"), [Part(Designator.ROOT, content, UUID(int=2), "os_1")])


def _empty_gpt(shop: Workshop) -> Path:
    return _gpt(shop.path("disk.img"), [])


def _zeros(shop: Workshop) -> Path:
    return shop.write("empty.img", bytes(4 * MIB))


def _no_bytes(shop: Workshop) -> Path:
    return shop.write("nothing.img", b"")


def _text(shop: Workshop) -> Path:
    return shop.write("notes.txt", b"remember the milk\n" * 40)


def _cut_off(shop: Workshop) -> Path:
    whole = _ddi(lambda parts: parts.signed)(shop).read_bytes()
    return shop.write("os.raw", whole[: MIB + 65536])


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


_SIGNED = dict.fromkeys(("inspect", "inspect --full", "entries", "boot --dry-run"), ("--certificate", "os.crt"))
_LOCKED = dict.fromkeys(
    ("inspect", "inspect --full", "plan", "boot --dry-run", "simulate", "serve"), ("--password-file", "password")
)

KINDS: Sequence[ImageKind] = (
    ImageKind("live disk (RedoxFS)", _live, "RedoxFS"),
    ImageKind("live disk, encrypted", _locked, "RedoxFS", _LOCKED),
    ImageKind("GPT: ESP with boot entries, ext4 root", _esp, "ext4"),
    ImageKind("DDI: root only", _bare_root, "squashfs"),
    ImageKind("DDI: root, verity", _ddi(lambda parts: parts.plain), "verity"),
    ImageKind("DDI: root, verity, signature", _ddi(lambda parts: parts.signed), "signature", _SIGNED),
    ImageKind("DDI for aarch64, signed", _ddi(lambda parts: parts.arm, Architecture.ARM64), "arm64", _SIGNED),
    ImageKind("A/B: two versions, signed", _versions, "os_2", _SIGNED),
    ImageKind("A/B: two equal slots, signed", _slots, "os_1", _SIGNED),
    ImageKind("LVM2: root in a logical volume", _lvm, "vg0/root"),
    ImageKind("LVM2: DDI in a logical volume", _ddi_in_lvm, "vg0/root", _SIGNED),
    ImageKind("LVM2: root, and a thin volume", _lvm_with_thin, "thin"),
    ImageKind("UBI: squashfs volume", _ubi, "rootfs"),
    ImageKind("UBI: UBIFS volume", _ubifs, "ubifs"),
    ImageKind("UBI: root and root-verity volumes", _ubi_verity, "root-verity"),
    ImageKind("bare ext4", _bare_ext4, "ext4"),
    ImageKind("bare erofs", _bare_erofs, "erofs"),
    ImageKind("bare squashfs", _bare_squashfs, "squashfs"),
    ImageKind("bare FAT with boot entries", _superfloppy, "vfat"),
    ImageKind("bare btrfs", _golden("btrfs-crc32c"), "btrfs"),
    ImageKind("bare XFS", _golden("xfs"), "xfs"),
    ImageKind("LUKS2", _golden("luks2"), "LUKS"),
    ImageKind("GPT: root partition in LUKS2", _luks_root, "LUKS"),
    ImageKind("swap", _golden("swap"), "swap"),
    ImageKind("MBR: FAT and ext4, extlinux.conf", _mbr, "MBR"),
    ImageKind("ISO 9660", _iso, "iso9660"),
    ImageKind("ISO 9660, hybrid with GPT", _hybrid_iso, "GPT"),
    ImageKind("qcow2", _qcow2, ""),
    ImageKind("compressed: .gz", _packed("gz", lambda content: gzip.compress(content, mtime=0)), ""),
    ImageKind("compressed: .xz", _packed("xz", lzma.compress), ""),
    ImageKind("compressed: .bz2", _packed("bz2", bz2.compress), ""),
    ImageKind("compressed: .zst", _packed("zst", _zstd), ""),
    ImageKind("Android sparse image", _android_sparse, ""),
    ImageKind("RAUC bundle", _rauc_bundle, "squashfs"),
    ImageKind("GPT without partitions", _empty_gpt, "GPT"),
    ImageKind("zeros", _zeros, ""),
    ImageKind("no bytes at all", _no_bytes, ""),
    ImageKind("a text file", _text, ""),
    ImageKind("DDI, cut off", _cut_off, "os_1"),
)
