"""Image-based Linux systems that really boot: busybox, the test guests' kernel, our initramfs without Python."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from bootpath.boot.initramfs.build import InitramfsSpec, build_initramfs, combine_recipes
from bootpath.boot.initramfs.compression import Compression
from bootpath.formats.partitions.dps import Architecture, Designator
from bootpath.formats.repart.definition import CopyFiles, FileSystemFormat
from bootpath.image.ddi.build import build_ddi
from bootpath.image.ddi.draft import DdiImage, SigningKey
from bootpath.image.ddi.shortform import ShortForm
from bootpath.image.filesystems.fatwriter import write_fat
from bootpath.image.filesystems.filetree import collect_tree
from bootpath.image.filesystems.programs import HostPrograms
from tests.support.ddi import LINUX_LVM, Part, Signer, Volume, make_disk, protect, run
from tests.support.fitimage import make_fit
from tests.support.linuximage import ENTRY, ENTRY_PATH, INITRD_PATH, KERNEL_PATH, squash
from tests.support.linuxroot import make_root
from tests.support.tinyroot import Volumes, make_volumes
from tests.support.tools import guest_file, guest_files, guest_kernel, stored, tool

MIB = 1 << 20
SEED = UUID("11111111-2222-4333-8444-555555555555")
EPOCH = 1_700_000_000
ESP_BYTES = 32 * MIB
ERASE_BYTES, VID_OFFSET = 128 << 10, 448
"""With the VID header at byte 448, and writes of single bytes, the data begin at byte 512, where a sector does."""
SYSTEMD_BOOT = Path("/usr/lib/systemd/boot/efi/systemd-bootx64.efi")
FLASH_CONFIG = """\
[{name}]
mode=ubi
image={image}
vol_id={number}
vol_type={type}
vol_name={name}
vol_size={size}
"""


@dataclass(frozen=True)
class LinuxSystem:
    """A root with its kernel, initramfs and entry in it, protected and signed; `name` is the host's in it."""

    directory: Path
    tree: Path
    volume: Volume
    signer: Signer

    @property
    def certificates(self) -> tuple[bytes, ...]:
        return (self.signer.certificate.read_bytes(),)


def make_initrd(
    path: Path, *kinds: str, modules: tuple[str, ...] = (), compression: Compression = Compression.GZIP
) -> Path:
    """Our initramfs without Python, compressed by what takes the least time."""
    recipe = combine_recipes(kinds)
    assert recipe.init is not None
    spec = InitramfsSpec(
        guest_files(),
        recipe.init,
        modules=(*recipe.modules, *modules),
        wanted_modules=recipe.wanted_modules,
        programs=recipe.programs,
        stubs=recipe.stubs,
        files=recipe.files(),
        busybox=guest_file("shared/busybox"),
        compression=compression,
    )
    return build_initramfs(spec, path).path


def make_system(directory: Path, initrd: Path, signer: Signer, name: str = "one", entry: str = ENTRY) -> LinuxSystem:
    """A system whose host is called `name`."""
    tree = directory / "tree"
    make_root(tree, far_bytes=MIB)
    (tree / "etc/hostname").write_text(f"{name}\n")
    (tree / "etc/init.d/rcS").write_text(f"#!/bin/sh\nhostname {name}\nmount -t tmpfs tmpfs /tmp\n")
    for path, content in (
        (KERNEL_PATH, guest_kernel().read_bytes()),
        (INITRD_PATH, initrd.read_bytes()),
        (ENTRY_PATH, entry.encode()),
    ):
        (tree / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        (tree / path.lstrip("/")).write_bytes(content)
    return LinuxSystem(directory, tree, protect(directory, squash(tree, directory / "root.squashfs"), signer), signer)


def make_ddi(system: LinuxSystem, path: Path) -> Path:
    """The system as `bootpath image build` makes it: ESP, root, hash tree, signature, in a GPT."""
    esp = system.directory / "esp"
    (esp / "loader").mkdir(parents=True)
    (esp / "loader/loader.conf").write_text("timeout 0\n")
    short = ShortForm(
        root=system.tree, format=FileSystemFormat.EROFS, signed=True, esp=esp, esp_bytes=ESP_BYTES, name="one_1"
    )
    image = DdiImage(
        short.definitions(Architecture.X86_64),
        SEED,
        Architecture.X86_64,
        signing=SigningKey(system.signer.key.read_bytes(), system.signer.certificate.read_bytes()),
        all_root=True,
        epoch=EPOCH,
    )
    tool("mkfs.erofs")
    return build_ddi(image, path, programs=HostPrograms(path=f"{os.environ['PATH']}:/usr/sbin:/sbin")).path


def make_logical_volumes(system: LinuxSystem, path: Path) -> Volumes:
    """The system in volumes of LVM2, made by lvm2 itself."""
    return make_volumes(path, _volume_files(system))


def make_volume_images(path: Path, systems: Mapping[str, LinuxSystem]) -> Path:
    """A disk with a volume group ``internal``, and in each volume of it a complete disk image, as Infix has them.

    The group is made by lvm2 itself, the tables by sgdisk; a volume is a little larger than the image in it.
    """
    images = {}
    for name, system in systems.items():
        images[name] = path.with_suffix(f".{name}.raw")
        make_disk(images[name], system.volume.parts("root"))
    volumes = make_volumes(path.with_suffix(".pv"), images, group="internal")
    return make_disk(path, [Part(Designator.LINUX_GENERIC, volumes.path.read_bytes(), SEED, type=LINUX_LVM)]).path


def make_flash(system: LinuxSystem, path: Path, *, free_bytes: int = 4 * MIB, root_type: str = "dynamic") -> Path:
    """The system in volumes of UBI, by ubinize, for flash that is written byte by byte, as block2mtd's is."""
    types = {"root": root_type, "root-verity-sig": "static"}
    rows = [
        FLASH_CONFIG.format(
            name=name,
            image=content,
            number=number,
            type=types.get(name, "dynamic"),
            size=content.stat().st_size,
        )
        for number, (name, content) in enumerate(_volume_files(system).items())
    ]
    return _make_ubi(path, rows, free_bytes)


def make_ubifs_flash(system: LinuxSystem, path: Path) -> Path:
    """The system in a UBIFS, in a volume of such a flash."""
    volume = path.with_suffix(".ubifs")
    leb_bytes = ERASE_BYTES - 512
    run(tool("mkfs.ubifs"), "-r", system.tree, "-m", 8, "-e", leb_bytes, "-c", 600, "-x", "zstd", "-o", volume)
    size = leb_bytes * 600
    row = FLASH_CONFIG.format(name="rootfs", image=volume, number=0, type="dynamic", size=size)
    return _make_ubi(path, [row], size)


def _make_ubi(path: Path, rows: list[str], free_bytes: int) -> Path:
    config = path.with_suffix(".ini")
    config.write_text("".join(rows))
    run(tool("ubinize"), "-o", path, "-p", ERASE_BYTES, "-m", 1, "-O", VID_OFFSET, "-Q", 7, config)
    with path.open("r+b") as flash:
        flash.seek(0, os.SEEK_END)
        flash.write(b"\xff" * (free_bytes + -free_bytes % ERASE_BYTES))
    return path


def make_esp(directory: Path, system: LinuxSystem, options: str) -> bytes:
    """An EFI partition with systemd-boot, the system's kernel and initramfs, and the entry for both; U-Boot's too."""
    tree = directory / "esp"
    kernel = (system.tree / KERNEL_PATH.lstrip("/")).read_bytes()
    initrd = (system.tree / INITRD_PATH.lstrip("/")).read_bytes()
    files = {
        "EFI/BOOT/BOOTX64.EFI": stored(SYSTEMD_BOOT).read_bytes(),
        "loader/loader.conf": b"timeout 0\n",
        "loader/entries/one.conf": f"title One\nlinux /vmlinuz\ninitrd /initrd\noptions {options}\n".encode(),
        "vmlinuz": kernel,
        "initrd": initrd,
        "linux.itb": make_fit(kernel, initrd),
        # One label: U-Boot tries the others when the default does not start.
        "extlinux/extlinux.conf": f"timeout 1\nlabel one\n kernel /linux.itb\n append {options}\n".encode(),
    }
    for path, content in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(content)
    image = directory / "esp.img"
    items = collect_tree([CopyFiles(str(tree), "/")], base=Path("/"))
    write_fat(image, ESP_BYTES, items, serial=0x5EED, label="ESP", epoch=EPOCH)
    return image.read_bytes()


def _volume_files(system: LinuxSystem) -> dict[str, Path]:
    volume = system.volume
    assert volume.signature is not None
    contents = {"root": volume.data, "root-verity": volume.hashes, "root-verity-sig": volume.signature}
    paths = {}
    for name, content in contents.items():
        paths[name] = system.directory / f"{name}.volume"
        paths[name].write_bytes(content)
    return paths
