"""Roots for an initramfs without Python: a busybox in a squashfs, verity's tree by veritysetup, and disks for them."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from tests.support.tools import guest_program, missing, tool

MIB = 1 << 20
SECTOR = 512
DISK_GUID = UUID("5a6f1c1e-6d0a-4c1b-9a43-2f5d3c1e0001")
SHIM_LOCK = "605dab50-e046-4300-abb6-3dd810dd8b23"  # the owner of shim's variables
INIT = """\
#!/bin/sh
mount -t proc proc /proc 2>/dev/null
grep -E ' / ' /proc/mounts | sed 's/^/ROOT /'
echo "IMAGE $(cat /etc/image) ARGS $*"
exec sh
"""
APPLETS = "sh cat grep mount poweroff sed ls dd"


def make_tree(directory: Path, name: str = "a") -> Path:
    """A root whose init says what is mounted and which image it is, and gives a shell."""
    for place in ("bin", "dev", "etc", "proc", "run", "sbin", "sys"):
        (directory / place).mkdir(parents=True)
    (directory / "bin/busybox").write_bytes(guest_program("busybox").read_bytes())
    (directory / "bin/busybox").chmod(0o755)
    for applet in APPLETS.split():
        (directory / "bin" / applet).symlink_to("busybox")
    (directory / "etc/image").write_text(f"{name}\n")
    (directory / "bin/start").write_text(INIT)
    (directory / "bin/start").chmod(0o755)
    (directory / "sbin/init").symlink_to("/bin/start")  # as systems have it: absolute, seen from inside
    return directory


def make_squashfs(tree: Path, image: Path) -> Path:
    """The tree in a squashfs, its files as they are."""
    mksquashfs = tool("mksquashfs")
    options = ["-noappend", "-quiet", "-no-progress", "-all-root", "-all-time", "0", "-mkfs-time", "0", "-noD", "-noF"]
    run(mksquashfs, tree, image, *options)
    return image


def make_ext4(tree: Path, image: Path, *, label: str) -> Path:
    """The tree in an ext4 with checksums of its metadata."""
    with image.open("wb") as file:
        file.truncate(8 * MIB)
    run(tool("mke2fs"), "-q", "-t", "ext4", "-O", "metadata_csum", "-L", label, "-d", tree, image)
    return image


def make_erofs(tree: Path, image: Path, *, uuid: UUID) -> Path:
    """The tree in a compressed EROFS."""
    run(tool("mkfs.erofs"), "-zlz4", "-U", uuid, "-T", 0, "--all-root", image, tree)
    return image


@dataclass(frozen=True, slots=True)
class VerityImage:
    """An image, its tree beside it with a superblock, and the root hash."""

    data: Path
    hashes: Path
    root_hash: str

    @property
    def data_uuid(self) -> UUID:
        return UUID(self.root_hash[:32])

    @property
    def hash_uuid(self) -> UUID:
        return UUID(self.root_hash[-32:])


def make_verity(image: Path) -> VerityImage:
    """The tree of an image, made by an independent tool."""
    hashes = image.with_suffix(".verity")
    said = run(tool("veritysetup"), "format", image, hashes, "--salt", "a5" * 32)
    match = re.search(r"Root hash:\s+([0-9a-f]{64})", said)
    assert match is not None, said
    return VerityImage(image, hashes, match[1])


@dataclass(frozen=True, slots=True)
class Entry:
    """A partition to make: what is in it, its PARTUUID, and its type as sgdisk calls it."""

    content: Path
    partuuid: UUID
    type: str = "8300"


@dataclass(frozen=True, slots=True)
class GptDisk:
    """A disk with a GPT: where each partition begins, in sectors."""

    path: Path
    first_lba: tuple[int, ...]

    def slot(self, number: int) -> str:
        """The word that names the entry, from 1."""
        return f"{DISK_GUID}:{number}:{self.first_lba[number - 1]}"


def make_disk(path: Path, *entries: Entry) -> GptDisk:
    """The partitions one after another, each from a MiB on. sgdisk makes the table."""
    arguments: list[object] = ["-o", "-U", str(DISK_GUID)]
    starts = []
    place = MIB
    for number, entry in enumerate(entries, start=1):
        size = -(-entry.content.stat().st_size // MIB) * MIB
        starts.append(place)
        arguments += ["-n", f"{number}:{place // SECTOR}:{(place + size) // SECTOR - 1}"]
        arguments += ["-u", f"{number}:{entry.partuuid}", "-t", f"{number}:{entry.type}"]
        place += size
    with path.open("wb") as disk:
        disk.truncate(place + MIB)
        for start, entry in zip(starts, entries, strict=True):
            disk.seek(start)
            disk.write(entry.content.read_bytes())
    run(tool("sgdisk"), *arguments, path)
    return GptDisk(path, tuple(start // SECTOR for start in starts))


class Volumes(dict[str, str]):
    """The volumes of a group: name to ``<VG uuid>/<LV uuid>``."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path


def make_volumes(path: Path, contents: Mapping[str, Path], *, group: str = "group") -> Volumes:
    """A disk that is a physical volume, made by lvm2 itself on a loop device; nothing is activated on this machine."""
    with path.open("wb") as disk:
        disk.truncate(sum(content.stat().st_size + 2 * MIB for content in contents.values()) + 4 * MIB)
    losetup, lvm = tool("losetup"), tool("lvm")
    attached = subprocess.run([losetup, "-f", "--show", path], capture_output=True, text=True, check=False)
    if attached.returncode:
        missing(f"losetup cannot make a loop device: {attached.stderr.strip()}")
    loop = attached.stdout.strip()
    # Without device-mapper and udev, and without a look at any other disk.
    config = (
        f'devices {{ filter=["a|^{loop}$|", "r|.*|"] use_devicesfile=0 }} backup {{ backup=0 archive=0 }} '
        "activation { udev_sync=0 udev_rules=0 monitoring=0 }"
    )
    options = ("--driverloaded", "n", "--config", config)
    try:
        run(lvm, "pvcreate", *options, loop)
        run(lvm, "vgcreate", *options, "-s", "1M", group, loop)
        volumes = Volumes(path)
        for name, content in contents.items():
            extents = -(-content.stat().st_size // MIB)
            run(lvm, "lvcreate", *options, "-an", "-Zn", "-Wn", "-l", extents, "-n", name, group)
        fields = "vg_uuid,lv_uuid,lv_name,seg_pe_ranges"
        for line in run(lvm, "lvs", *options, "--noheadings", "-o", fields).splitlines():
            if len(words := line.split()) == 4 and words[2] in contents:
                volumes[words[2]] = f"{words[0]}/{words[1]}"
                first = int(words[3].rpartition(":")[2].partition("-")[0])
                with path.open("r+b") as disk:
                    disk.seek((1 + first) * MIB)  # the first extent is at 1 MiB, lvm2's default
                    disk.write(contents[words[2]].read_bytes())
    finally:
        run(losetup, "-d", loop)
    return volumes


def make_flash(path: Path, contents: Mapping[str, Path], *, erase_bytes: int, size_bytes: int = 8 * MIB) -> Path:
    """An image for raw flash that knows writes of one byte, as block2mtd's: UBI with a volume for each content."""
    config = path.with_suffix(".ini")
    config.write_text(
        "".join(
            f"[{name}]\nmode=ubi\nimage={content}\nvol_id={number}\nvol_type=dynamic\nvol_name={name}\n"
            f"vol_size={content.stat().st_size}\n"
            for number, (name, content) in enumerate(contents.items())
        )
    )
    run(tool("ubinize"), "-o", path, "-p", erase_bytes, "-m", 1, "-Q", 1, config)
    with path.open("r+b") as flash:
        flash.seek(0, 2)
        flash.write(b"\xff" * (size_bytes - flash.tell()))
    return path


def make_ubifs(tree: Path, image: Path, *, erase_bytes: int) -> Path:
    """The tree in a UBIFS; UBI keeps two headers of 64 bytes in each erase block."""
    run(tool("mkfs.ubifs"), "-r", tree, "-m", 8, "-e", erase_bytes - 128, "-c", 60, "-o", image)
    return image


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key and its certificate, in PEM."""

    key: Path
    certificate: Path


def make_signer(directory: Path) -> Signer:
    """A new one."""
    signer = Signer(directory / "key.pem", directory / "certificate.pem")
    names = ("-subj", "/CN=bootpath test")
    files = ("-keyout", signer.key, "-out", signer.certificate)
    run(tool("openssl"), "req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", *names, *files)
    return signer


def make_signature(directory: Path, root_hash: str, signer: Signer) -> str:
    """A detached PKCS#7 over the root hash, in base64. Source: the kernel's dm-verity documentation."""
    text, signature = directory / "roothash", directory / "roothash.p7s"
    text.write_text(root_hash)
    signed = (
        "-sign",
        "-nocerts",
        "-noattr",
        "-binary",
        "-in",
        text,
        "-inkey",
        signer.key,
        "-signer",
        signer.certificate,
    )
    run(tool("openssl"), "smime", *signed, "-outform", "der", "-out", signature)
    return base64.b64encode(signature.read_bytes()).decode()


def make_esp(path: Path, files: Mapping[str, Path]) -> Path:
    """An EFI partition with the files in EFI/BOOT."""
    size = sum(-(-file.stat().st_size // MIB) for file in files.values()) + 36
    with path.open("wb") as image:
        image.truncate(size * MIB)
    run(tool("mkfs.fat"), "-F", "32", path)
    run(tool("mmd"), "-i", path, "::EFI", "::EFI/BOOT")
    for name, file in files.items():
        run(tool("mcopy"), "-i", path, file, f"::EFI/BOOT/{name}")
    return path


def make_signed_uki(path: Path, *, kernel: Path, initrd: Path, command_line: str, stub: Path, signer: Signer) -> Path:
    """Kernel, initramfs and command line in one program for UEFI, signed for Secure Boot."""
    line = path.with_suffix(".cmdline")
    line.write_text(command_line)
    sections: list[object] = []
    for name, file, address in (
        (".cmdline", line, 0x30000),
        (".linux", kernel, 0x2000000),
        (".initrd", initrd, 0x3000000),
    ):
        sections += ["--add-section", f"{name}={file}", "--change-section-vma", f"{name}={address:#x}"]
    run(tool("objcopy"), *sections, stub, path)
    run(tool("sbsign"), "--key", signer.key, "--cert", signer.certificate, "--output", path, path)
    return path


def enrol(variables: Path, output: Path, signer: Signer) -> Path:
    """Firmware variables in which the machine's owner (MOK) trusts the signer too."""
    program = Path(sys.executable).with_name("virt-fw-vars")
    if not program.is_file():
        missing("virt-firmware is not installed")
    run(program, "-i", variables, "-o", output, "--add-mok", SHIM_LOCK, signer.certificate)
    return output


def flip(path: Path, offset: int) -> None:
    """One bit of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


def run(*command: object) -> str:
    """What a tool says; it succeeds."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
