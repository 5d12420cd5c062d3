"""That an entry's kernel is one for the machine that is to run it; and which machine, where nothing else says it.

The type of a root partition says for which architecture it is. That of a logical volume, of UBI, or of a disk without a
table does not: there the kernel's own header decides.
"""

from __future__ import annotations

from bootpath.core.errors import BootError, FormatError
from bootpath.formats.kernels.image import KernelImage, parse_kernel
from bootpath.formats.partitions.dps import Architecture


def check_kernel(
    content: bytes, architecture: Architecture | None, *, where: str, size_bytes: int | None = None
) -> KernelImage:
    """What the kernel is, by its first bytes (`parse_kernel`).

    Raises BootError for what is none, and for one that a machine of `architecture` does not start.
    """
    try:
        image = parse_kernel(content, size_bytes)
    except FormatError as fault:
        raise BootError(fault.what, where=where, expected=fault.expected, found=fault.found) from fault
    if architecture is not None and not image.runs_on(architecture):
        raise BootError("the kernel is for another machine", where=where, expected=architecture.value, found=image)
    return image


def machine_of(image: KernelImage, architecture: Architecture | None, *, where: str) -> Architecture:
    """The architecture of the machine that starts the kernel: the one that is asked for, or the kernel's own.

    Raises BootError when neither says it.
    """
    found = architecture or image.architecture
    if found is None:
        raise BootError("the kernel's machine is not known", where=where, found=image, hint="give --architecture")
    return found
