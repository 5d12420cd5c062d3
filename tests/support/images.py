"""Small live images that behave like large ones: kernel, initfs, boot files low, bulk data high."""

from __future__ import annotations

import hashlib
import os
import random
from contextlib import closing
from pathlib import Path
from uuid import UUID

from bootpath.block.leaves.file import FileDevice
from bootpath.image.redox.build import LiveImage, build_live

MIB = 1 << 20
FS_UUID = UUID("6f3a2f8e-93a5-4b6e-8f43-0d9ef0b2c001")
CREATED_NS = 1_700_000_000 * 10**9
PASSWORD = b"correct horse"
FAR_FILE = "/usr/share/far"


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def make_tree(root: Path, *, bulk_bytes: int = 6 * MIB, seed: int = 3) -> Path:
    """A root with what a boot reads, and a file that a boot does not read."""
    generator = random.Random(seed)
    write(root / "usr/lib/boot/kernel", b"\x7fELF" + generator.randbytes(200_000))
    write(root / "usr/lib/boot/initfs", b"RedoxFtw" + generator.randbytes(300_000))
    write(root / "etc/passwd", b"root;0;0;root;/root;/usr/bin/ion\n")
    write(root / "usr/lib/init.d/00_base", b"# base\n" * 100)
    write(root / "usr/bin/login", generator.randbytes(50_000))
    write(root / "usr/share/far", generator.randbytes(bulk_bytes))
    return root


def make_image(
    directory: Path,
    name: str = "disk.img",
    *,
    tree: Path | None = None,
    uuid: UUID = FS_UUID,
    size_bytes: int = 24 * MIB,
    password: bytes | None = None,
) -> Path:
    """A live disk in `directory`; the same arguments give the same bytes unless it is encrypted."""
    source = make_tree(directory / "tree") if tree is None else tree
    image = LiveImage(source, uuid, CREATED_NS, size_bytes=size_bytes, password=password, clamp_mtime_ns=CREATED_NS)
    return build_live(image, directory / name).path


def digest(path: Path) -> str:
    """Hash of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def patch(path: Path, offset: int, data: bytes) -> None:
    """Overwrite bytes of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def copy(source: Path, target: Path) -> Path:
    """A sparse copy."""
    with closing(FileDevice.open(source)) as disk, target.open("wb") as file:
        file.truncate(disk.size_bytes)
        for segment in disk.extents(0, disk.size_bytes):
            if segment.allocated:
                for offset in range(segment.offset, segment.offset + segment.length, MIB):
                    length = min(MIB, segment.offset + segment.length - offset)
                    os.pwritev(file.fileno(), [bytes(part) for part in disk.read(offset, length)], offset)
    return target
