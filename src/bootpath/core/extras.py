"""What may not be installed: which extra of bootpath brings a library, and which package a program.

A library or program that is missing says nothing about a disk: it is a failure (exit code 1), never a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping

EXTRAS: Mapping[str, tuple[str, ...]] = {
    "remote": ("obstore",),
    "crypt": ("cryptography",),
    "initramfs": ("elftools", "zstandard"),
    "signatures": ("cryptography",),
    "vm": ("qemu",),
    "zstd": ("zstandard",),
}
"""The optional dependencies of pyproject.toml, by the names under which they are imported."""

PACKAGES: Mapping[str, str] = {
    "mkfs.erofs": "erofs-utils",
    "mksquashfs": "squashfs-tools",
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "dumpe2fs": "e2fsprogs",
    "resize2fs": "e2fsprogs",
    "mkswap": "util-linux",
    "setpriv": "util-linux",
    "fusermount3": "fuse3",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-system-arm": "qemu-system-arm",
    "qemu-system-riscv64": "qemu-system-misc",
    "qemu-nbd": "qemu-utils",
    "OVMF": "ovmf",
    "AAVMF": "qemu-efi-aarch64",
}
"""The package of Debian and Ubuntu, and of most others, that brings a program, or a file."""


class NotInstalledError(ImportError):
    """A library that is needed to judge a disk is missing. No `Error`: those of a disk are caught, and are verdicts."""

    def __init__(self, module: str, extra: str, needed_by: str) -> None:
        super().__init__(f"{needed_by} needs {module}, which is not installed", name=module)
        self.hint = pip_install(extra)


def pip_install(extra: str) -> str:
    """The hint for a library of this extra that is missing; it can be copied into a shell."""
    assert extra in EXTRAS
    return f"pip install 'bootpath[{extra}]'"


def apt_install(program: str) -> str | None:
    """The hint for a program that is missing, if it is known which package brings it."""
    package = PACKAGES.get(program)
    return None if package is None else f"apt install {package}"
