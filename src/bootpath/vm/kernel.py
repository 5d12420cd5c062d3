"""A kernel made ready for QEMU: unpacked where the machine cannot do it, or would take long.

Under the translator a kernel for PCs takes longer to unpack itself than for all the rest of its start: 4 of 6 seconds,
measured with Debian's. Unpacked by us (0.7 s) and entered as Xen's guests are (PVH), it does the same with the same
command line and initrd, but stays where it was linked to: there is no KASLR. Where that cannot be done QEMU gets the
file as it is.

A kernel for other machines that is an EFI program with the kernel packed in it, or is packed by gzip, is started by a
firmware or a boot loader that unpacks it; QEMU does so for some, by its version and the machine (hw/core/loader.c).
"""

from __future__ import annotations

from pathlib import Path

from bootpath.block.leaves.wholefile import read_whole
from bootpath.core.errors import FormatError, MachineError
from bootpath.core.extras import pip_install
from bootpath.core.limits import check_limit, limits
from bootpath.formats.kernels.bzimage import find_pvh_entry, parse_bzimage
from bootpath.formats.kernels.image import Wrapping, parse_kernel
from bootpath.formats.kernels.packed import ZSTD_MAGIC, unpack

_MAX_KERNEL_BYTES = 512 << 20


def unpacked_kernel(path: Path) -> bytes | None:
    """The kernel (ELF) in a bzImage, if all of it is there and it can be entered without its unpacker; else None.

    Raises OSError when the file cannot be read, LimitError when it is too large.
    """
    data = read_whole(path, "kernel_bytes")
    try:
        image = parse_bzimage(data)
    except FormatError:
        return None
    if image.kernel_bytes > _MAX_KERNEL_BYTES:
        return None
    # A byte more than there should be: only then the end is seen, and what stands there is checked.
    kernel = unpack(data[image.payload.offset : image.payload.end], image.kernel_bytes + 1)
    if kernel is None or len(kernel) != image.kernel_bytes or find_pvh_entry(kernel) is None:
        return None
    return kernel


def bare_kernel(data: bytes) -> bytes:
    """The kernel in what is wrapped around it (`Wrapping`); the same bytes when nothing is.

    Raises FormatError when it is no kernel, LimitError when it is too large, MachineError when it cannot be unpacked.
    """
    image = parse_kernel(data)
    if image.wrapping is Wrapping.NONE or image.payload is None:
        return data
    kernel = unpack(data[image.payload.offset : image.payload.end], limits().kernel_bytes + 1)
    if not kernel:
        raise MachineError(
            "the kernel cannot be unpacked",
            where=image.wrapping.value,
            expected="gzip, bzip2, LZMA, xz or zstd",
            hint=pip_install("zstd") if data.startswith(ZSTD_MAGIC, image.payload.offset) else None,
        )
    check_limit("kernel_bytes", len(kernel), "the kernel is too large once it is unpacked")
    return kernel
