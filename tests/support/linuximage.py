"""Image-based Linux systems: a root with its kernel, initrd and boot entry inside, protected, in a slot or two."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from bootpath.formats.partitions.dps import Designator
from tests.support.ddi import Disk, Part, Signer, Volume, make_disk, protect, run
from tests.support.tools import tool

KERNEL_PATH, INITRD_PATH = "/boot/vmlinuz", "/boot/initrd"
ENTRY_PATH = "/loader/entries/demo-1.conf"
FAR_PATH, FAR = "/usr/share/far", b"far away " * 20000
OPTIONS = "quiet"
ENTRY = f"""\
title Demo
version 1
linux {KERNEL_PATH}
initrd {INITRD_PATH}
linux-appendroot yes
options {OPTIONS}
"""


def fake_kernel(seed: int = 1, size_bytes: int = 600_000) -> bytes:
    """What a loader takes for a Linux for x86-64: a header, and bytes that tell places apart."""
    content = bytearray()
    for place in range(size_bytes // 9 + 1):
        content += b"%08d " % (seed * 10_000_000 + place)
    content[0x202:0x208] = b"HdrS\x0f\x02"
    content[0x236] = 1  # for 64 bits
    return bytes(content[:size_bytes])


def fake_initrd(seed: int = 1) -> bytes:
    return b"070701" + b"%08d " % seed * 3000


@dataclass(frozen=True)
class RootTree:
    """Files of a root, by path."""

    files: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def demo(cls, seed: int = 1, *, entry: str = ENTRY, **more: bytes) -> RootTree:
        files = {
            KERNEL_PATH: fake_kernel(seed),
            INITRD_PATH: fake_initrd(seed),
            ENTRY_PATH: entry.encode(),
            FAR_PATH: FAR,
        }
        return cls({path: data for path, data in {**files, **more}.items() if data})

    def write(self, directory: Path) -> Path:
        for path, content in self.files.items():
            target = directory / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        init = directory / "sbin/init"
        init.parent.mkdir(exist_ok=True)
        init.write_bytes(self.files.get("/sbin/init", b"#!/bin/sh\n"))
        init.chmod(0o755)
        return directory


def squash(tree: Path, target: Path) -> bytes:
    """A squashfs of the tree, stored uncompressed: what a file holds is found in it again."""
    target.unlink(missing_ok=True)
    options = ["-all-root", "-noappend", "-quiet", "-no-progress", "-noI", "-noD", "-noF", "-noX", "-mkfs-time", 0]
    run(tool("mksquashfs"), tree, target, *options, "-all-time", 0, "-no-xattrs")
    content = target.read_bytes()
    return content.ljust(-(-len(content) // 4096) * 4096, b"\0")


def make_volume(directory: Path, tree: RootTree, signer: Signer | None) -> Volume:
    """A protected root."""
    directory.mkdir(parents=True)
    return protect(directory, squash(tree.write(directory / "tree"), directory / "root.squashfs"), signer)


def make_linux_disk(
    path: Path, volumes: Iterable[tuple[str, Volume]], *, esp: bytes | None = None, flags: Sequence[Sequence[int]] = ()
) -> Disk:
    """A disk with these roots, by label, and an EFI partition when there is something for it: that is partition 1."""
    parts: list[Part] = []
    if esp is not None:
        parts.append(Part(Designator.ESP, esp, UUID(int=1000), "esp", None))
    for serial, (name, volume) in enumerate(volumes, start=1):
        parts += volume.parts(name, serial=serial, flags=flags[serial - 1] if flags else ())
    return make_disk(path, parts)


def flip(path: Path, offset: int, bit: int = 0) -> None:
    """One bit of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ (1 << bit)]))


def find_in(path: Path, content: bytes, start: int = 0) -> int:
    """Where something is in a file."""
    place = path.read_bytes().find(content, start)
    assert place >= 0
    return place
