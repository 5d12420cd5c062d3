"""The two files of a RedoxFS that only its boot loader reads, and how they are recognised: Redox's own, or a Linux.

Source: redox-os/bootloader ``src/main.rs``; Documentation/arch/x86/boot.rst, "The real-mode kernel header"; for the
formats of an initramfs lib/decompress.c.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bootpath.fs.redox.redoxfs import RedoxFS
from bootpath.image.redox.layout import INITFS_MAGIC, INITFS_PATH, KERNEL_MAGIC, KERNEL_PATH


@dataclass(frozen=True, slots=True)
class BootFile:
    """A file of the root that only the loader reads; it holds one of `magics` at byte `magic_offset`."""

    what: str
    path: str
    magics: tuple[bytes, ...]
    magic_offset: int = 0

    @property
    def magic_bytes(self) -> int:
        """How many bytes tell what the file is."""
        return max(map(len, self.magics))


REDOX = (BootFile("kernel", KERNEL_PATH, (KERNEL_MAGIC,)), BootFile("initfs", INITFS_PATH, (INITFS_MAGIC,)))
LINUX = (
    BootFile("kernel", KERNEL_PATH, (b"HdrS",), 0x202),
    BootFile("initfs", INITFS_PATH, (b"070701", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0")),
)
"""A kernel with the x86 boot protocol's header, and a newc archive, plain or packed by gzip, zstd or xz."""


def find_boot_files(fs: RedoxFS) -> Sequence[BootFile]:
    """LINUX when the root holds a Linux kernel, else REDOX."""
    kernel = LINUX[0]
    if fs.exists(kernel.path) and fs.read(kernel.path, kernel.magic_offset, len(kernel.magics[0])) in kernel.magics:
        return LINUX
    return REDOX
