"""Disk images as distributions make them, by other people's tools: sgdisk, mke2fs, veritysetup, openssl."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from bootpath.block.leaves.file import FileDevice
from bootpath.formats.partitions.dps import Architecture, Designator, data_uuid, hash_uuid, type_guid
from bootpath.image.contents.read import open_node, read_contents
from tests.support.tools import tool

MIB = 1 << 20
DISK_GUID = UUID("0fd1c4d2-1b1a-4f4f-9d3c-6a3f4a0c0de0")
SALT = "00112233445566778899aabbccddeeff"
DATA_BYTES, HASH_BYTES, SIGNATURE_BYTES = MIB, 64 << 10, 16 << 10
ALIGN_BYTES = 64 << 10


@dataclass(frozen=True)
class Part:
    """A partition to be made: what is in it, and what the table says of it."""

    designator: Designator
    content: bytes
    guid: UUID
    name: str = ""
    architecture: Architecture | None = Architecture.X86_64
    flags: Sequence[int] = ()
    size_bytes: int = 0
    type: UUID | None = None

    @property
    def type_guid(self) -> UUID:
        if self.type is not None:
            return self.type
        return type_guid(self.designator, self.architecture if self.designator.versioned else None)


@dataclass(frozen=True)
class Signer:
    """A key and its certificate, as files."""

    key: Path
    certificate: Path

    @classmethod
    def make(cls, directory: Path, name: str = "signer", days: int = 3650) -> Signer:
        made = cls(directory / f"{name}.key", directory / f"{name}.crt")
        command = [tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}"]
        run(*command, "-days", days, "-keyout", made.key, "-out", made.certificate)
        return made

    def sign(self, root_hash: str) -> bytes:
        command = [tool("openssl"), "smime", "-sign", "-nocerts", "-noattr", "-binary", "-outform", "der"]
        command += ["-inkey", str(self.key), "-signer", str(self.certificate)]
        return subprocess.run(command, input=root_hash.encode(), capture_output=True, check=True).stdout


@dataclass(frozen=True)
class Volume:
    """A file system with its hash tree and, when there is a signer, the content of a signature partition."""

    data: bytes
    hashes: bytes
    root_hash: bytes
    signature: bytes | None

    def parts(
        self,
        name: str,
        *,
        designator: Designator = Designator.ROOT,
        architecture: Architecture = Architecture.X86_64,
        flags: Sequence[int] = (),
        serial: int = 1,
    ) -> list[Part]:
        """The partitions of a slot. `serial` makes the UUID of the signature partition, which no rule makes."""
        assert designator.hashes is not None
        assert designator.signature is not None
        first, last = data_uuid(self.root_hash), hash_uuid(self.root_hash)
        found = [
            Part(designator, self.data, first, name, architecture, flags),
            Part(designator.hashes, self.hashes, last, name, architecture, flags, HASH_BYTES),
        ]
        if self.signature is not None:
            third = UUID(int=serial)
            found.append(Part(designator.signature, self.signature, third, name, architecture, flags, SIGNATURE_BYTES))
        return found


@dataclass(frozen=True)
class Disk:
    """A made disk, and where its partitions begin, by number."""

    path: Path
    offsets: dict[int, int] = field(default_factory=dict)


LINUX_LVM = UUID("e6d6d379-f507-44c2-a23c-238f2a3df928")
GOLDEN = Path(__file__).parents[1] / "golden"


def run(*command: object) -> str:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True).stdout


BOOT_FILES = {
    "boot/vmlinuz": bytes(0x202) + b"HdrS" + bytes(506),
    "boot/initrd": b"070701",
    "sbin/init": b"#!/bin/sh\n",
    "loader/entries/os.conf": b"title OS\nlinux /boot/vmlinuz\ninitrd /boot/initrd\nlinux-appendroot yes\n",
}
"""A kernel, as far as its first bytes say, an entry that boots it, and an init."""


def make_file_system(
    directory: Path,
    *,
    text: str = "hello\n",
    uuid: str = "clear",
    label: str = "",
    files: Mapping[str, bytes] | None = None,
) -> bytes:
    """An ext4 of `DATA_BYTES` with a file in it, and a boot entry."""
    tree = directory / "tree"
    for name, content in {"etc/os-release": text.encode(), **BOOT_FILES, **(files or {})}.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    (tree / "sbin/init").chmod(0o755)
    target = directory / "data.ext4"
    target.unlink(missing_ok=True)
    options = ["-t", "ext4", "-O", "^has_journal", "-b", 4096, "-d", tree, "-L", label, "-U", uuid]
    run(tool("mke2fs"), "-q", *options, "-E", "hash_seed=" + str(UUID(int=5)), target, DATA_BYTES // 4096)
    return target.read_bytes()


def protect(directory: Path, data: bytes, signer: Signer | None = None) -> Volume:
    """The data with what veritysetup and openssl make for it."""
    data_path, hash_path = directory / "data", directory / "hashes"
    data_path.write_bytes(data)
    hash_path.write_bytes(b"")
    command = [tool("veritysetup"), "format", data_path, hash_path, "--salt", SALT, "--uuid", UUID(int=7)]
    output = run(*command)
    root_hash = next(line.split()[-1] for line in output.splitlines() if line.startswith("Root hash:"))
    signature = None if signer is None else pack_signature(root_hash, signer.sign(root_hash))
    return Volume(data, hash_path.read_bytes(), bytes.fromhex(root_hash), signature)


def pack_signature(root_hash: str, signature: bytes) -> bytes:
    text = json.dumps({"rootHash": root_hash, "signature": base64.b64encode(signature).decode()}).encode()
    return text.ljust(-(-len(text) // 4096) * 4096, b"\0")


def make_disk(path: Path, parts: Sequence[Part], *, size_bytes: int = 0, sector_bytes: int = 512) -> Disk:
    """A disk by sgdisk: the parts in their order, numbered from 1."""
    offsets: dict[int, int] = {}
    command: list[object] = [tool("sgdisk"), "--clear", "--disk-guid", DISK_GUID, "--set-alignment", 1]
    offset = MIB
    for number, part in enumerate(parts, start=1):
        size = max(part.size_bytes, len(part.content))
        size = -(-size // 4096) * 4096
        command += ["--new", f"{number}:{offset // 512}:{(offset + size) // 512 - 1}"]
        command += ["--typecode", f"{number}:{part.type_guid}", "--partition-guid", f"{number}:{part.guid}"]
        if part.name:
            command += ["--change-name", f"{number}:{part.name}"]
        for bit in part.flags:
            command += ["--attributes", f"{number}:set:{bit}"]
        offsets[number] = offset
        offset += -(-size // ALIGN_BYTES) * ALIGN_BYTES
    size_bytes = size_bytes or offset + MIB
    with path.open("wb") as file:
        file.truncate(size_bytes)
    run(*command, path)
    with path.open("r+b") as file:
        for number, part in enumerate(parts, start=1):
            file.seek(offsets[number])
            file.write(part.content)
    return Disk(path, offsets)


def make_lvm_disk(path: Path, root: bytes) -> Disk:
    """A disk with the three physical volumes that LVM2 made, as partitions 1 to 3, and `root` in vg0/root."""
    volumes = [gzip.decompress((GOLDEN / f"lvm2/pv{number}.img.gz").read_bytes()) for number in range(3)]
    parts = [
        Part(Designator.LINUX_GENERIC, content, UUID(int=number), type=LINUX_LVM)
        for number, content in enumerate(volumes, start=1)
    ]
    made = make_disk(path, parts)
    with closing(FileDevice.open(path, writable=True)) as disk:
        volume = open_node(disk, read_contents(disk), "vg0/root")
        volume.write(0, root)
    return made


UBI_VOLUME = """[{name}]
mode=ubi
image={image}
vol_id={number}
vol_type={type}
vol_name={name}
vol_size={size}
"""
PEB_BYTES, UBI_DATA_OFFSET = 16 << 10, 1024


def make_ubi_image(path: Path, volumes: Mapping[str, bytes], *, static: Sequence[str] = ()) -> Path:
    """A UBI image by ubinize: PEBs of 16 KiB, data from byte 1024 on, volumes in their order behind two PEBs."""
    rows = []
    for number, (name, content) in enumerate(volumes.items()):
        image = path.with_name(f"{path.name}.{number}")
        image.write_bytes(content)
        kind = "static" if name in static else "dynamic"
        rows.append(UBI_VOLUME.format(name=name, image=image, number=number, type=kind, size=len(content)))
    settings = path.with_name(f"{path.name}.ini")
    settings.write_text("".join(rows))
    run(tool("ubinize"), "-o", path, "-p", "16KiB", "-m", 512, "-s", 512, "-Q", 7, settings)
    return path
