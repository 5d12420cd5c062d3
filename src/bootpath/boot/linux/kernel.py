"""That an entry's kernel is one for the machine that is to run it; and which machine, where nothing else says it.

The type of a root partition says for which architecture it is. That of a logical volume, of UBI, or of a disk without a
table does not: there the kernel's own header decides. A loader takes the kernel that an entry names, whatever it is, so
one in a format that is not known here is booted all the same, with a warning; only a machine of ours cannot start it.
"""

from __future__ import annotations

from bootpath.core.errors import BootError, Error, FormatError
from bootpath.formats.kernels.image import KernelImage, parse_kernel
from bootpath.formats.partitions.dps import Architecture


def check_kernel(
    content: bytes, architecture: Architecture | None, *, where: str, size_bytes: int | None = None
) -> KernelImage | None:
    """What the kernel is, by its first bytes (`parse_kernel`); None for a format that is not known here.

    Raises BootError for one that a machine of `architecture` does not start.
    """
    try:
        image = parse_kernel(content, size_bytes)
    except FormatError:
        return None
    if architecture is not None and not image.runs_on(architecture):
        raise BootError("the kernel is for another machine", where=where, expected=architecture.value, found=image)
    return image


def doubt_of(image: KernelImage | None, *, where: str) -> tuple[str, ...]:
    """What is to be said of a kernel of which nothing says that it starts."""
    return () if image is not None else (f"{where} is in no format of a Linux kernel that is known here",)


def machine_of(image: KernelImage | None, architecture: Architecture | None) -> Architecture | None:
    """The architecture of the machine that starts the kernel: the one that is asked for, or the kernel's own."""
    return architecture or (None if image is None else image.architecture)


def startable(image: KernelImage | None, architecture: Architecture | None, *, where: str) -> Architecture:
    """The machine that can be started. Raises Error when the kernel is not known, or nothing says which one it is."""
    if image is None:
        raise Error(
            "no machine starts this kernel: its format is not known here",
            where=where,
            expected="a bzImage, Image, zImage, EFI zboot or vmlinux",
        )
    if architecture is None:
        raise Error("the kernel's machine is not known", where=where, found=image, hint="give --architecture")
    return architecture
