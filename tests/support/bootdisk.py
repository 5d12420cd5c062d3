"""Disks with boot entries, by other people's tools: mkfs.fat and mtools, mke2fs, sgdisk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from bootpath.formats.partitions.dps import Designator
from tests.support.ddi import Part, run
from tests.support.tools import tool

EXECUTABLES = ("sbin/init",)
FAT_BYTES, EXT4_BYTES = 4 << 20, 2 << 20


def write_tree(root: Path, content: Mapping[str, bytes]) -> Path:
    for path, data in content.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
        if path in EXECUTABLES:
            (root / path).chmod(0o755)
    return root


def fat(directory: Path, content: Mapping[str, bytes], size_bytes: int = FAT_BYTES) -> bytes:
    """A FAT volume with these files."""
    tree, image = write_tree(directory / "fat", content), directory / "fat.img"
    image.write_bytes(bytes(size_bytes))
    run(tool("mkfs.fat"), image)
    for path in sorted(tree.iterdir()):
        run(tool("mcopy"), "-s", "-i", image, path, "::/")
    return image.read_bytes()


def ext4(directory: Path, content: Mapping[str, bytes], size_bytes: int = EXT4_BYTES) -> bytes:
    """An ext4 with these files."""
    tree, image = write_tree(directory / "ext4", content), directory / "ext4.img"
    image.unlink(missing_ok=True)
    command = [tool("mke2fs"), "-q", "-t", "ext4", "-O", "^has_journal", "-b", "4096", "-d", tree]
    run(*command, image, size_bytes // 4096)
    return image.read_bytes()


def boot_part(designator: Designator, content: bytes, serial: int) -> Part:
    return Part(designator, content, UUID(int=serial), designator.value, None)
