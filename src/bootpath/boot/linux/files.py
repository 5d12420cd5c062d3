"""The files of an entry: weighed, which reads no more than the first bytes of the kernel, or loaded.

Both check the same: that the files are there, are not too large, and that the kernel is one for this machine. What is
loaded is read once, and those bytes run. `boot.linux.candidate` says who vouches for them.

Source: Linux Documentation/driver-api/early-userspace/buffer-format.rst: archives one after the other, each at a
multiple of four bytes, with zeros between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from hashlib import sha256

from bootpath.boot.linux.assurance import AssuranceReason, given_initrd
from bootpath.boot.linux.choice import LinuxRequest
from bootpath.boot.linux.kernel import check_kernel
from bootpath.boot.linux.result import LoadedLinux, RunPart
from bootpath.core.reasons import Explanation
from bootpath.formats.kernels.image import HEAD_BYTES, KernelImage
from bootpath.formats.partitions.dps import Architecture
from bootpath.image.entries.extras import is_extra, pack_extras
from bootpath.image.entries.files import FilePart, read_part, read_pieces
from bootpath.image.entries.menu import FoundEntry

KERNEL, INITRD, EXTRA, DEVICETREE = "kernel", "initrd", "extra", "device tree"
_INITRD_ALIGN = 4


def weigh_files(
    found: FoundEntry, request: LinuxRequest, architecture: Architecture | None, assured: Explanation[AssuranceReason]
) -> tuple[KernelImage | None, list[RunPart]]:
    """What kernel it is, and what would be loaded.

    Raises BootError, LimitError, and what reading the kernel's first bytes raises.
    """
    found.check_kernel()
    kernel = found.parts.kernel
    size = kernel.size_bytes or 0
    head = read_part(found.files, replace(kernel, size_bytes=min(size, HEAD_BYTES)))
    image = check_kernel(head, architecture, where=kernel.path, size_bytes=size)
    extras = _extras(found)
    parts = [RunPart(KERNEL, str(kernel), assured, size)]
    if request.initrd is not None:
        parts.append(_given(request))
    else:
        parts += [RunPart(INITRD, str(each), assured, each.size_bytes) for each in found.parts.initrds]
    parts += [RunPart(EXTRA, each.path, assured, each.size_bytes) for each in extras]
    tree = found.parts.devicetree
    if tree is not None:
        found.check_devicetree()
        parts.append(RunPart(DEVICETREE, str(tree), assured, tree.size_bytes))
    return image, parts


def load_files(
    found: FoundEntry, request: LinuxRequest, architecture: Architecture | None, assured: Explanation[AssuranceReason]
) -> tuple[LoadedLinux, list[RunPart]]:
    """The bytes, and what they are. Raises BootError, LimitError, and what reading the files raises."""
    kernel = found.read_kernel()
    image = check_kernel(kernel, architecture, where=found.parts.kernel.path)
    parts = [described(KERNEL, str(found.parts.kernel), kernel, assured)]
    wanted = _extras(found)
    initrds: list[list[bytes]] = []
    if request.initrd is not None:
        initrds.append([request.initrd.content])
        parts.append(_given(request))
    for piece in found.parts.initrds if request.initrd is None else ():
        content, part = _read_initrd(found, piece, assured)
        initrds.append(content)
        parts.append(part)
    extras = [(piece.path, read_part(found.files, piece)) for piece in wanted]
    parts += [described(EXTRA, path, data, assured) for path, data in extras]
    devicetree = found.read_devicetree()
    if devicetree is not None and found.parts.devicetree is not None:
        parts.append(described(DEVICETREE, str(found.parts.devicetree), devicetree, assured))
    pieces = tuple(join_initrds((*initrds, [pack_extras(extras)])))
    return LoadedLinux(kernel, image, pieces, devicetree), parts


def described(what: str, origin: str, content: bytes, assured: Explanation[AssuranceReason]) -> RunPart:
    """A part of what runs, with its checksum."""
    return RunPart(what, origin, assured, len(content), sha256(content).hexdigest())


def join_initrds(initrds: Iterable[Iterable[bytes]]) -> Iterator[bytes]:
    """The pieces of archives one after the other, each archive at a multiple of four bytes."""
    length = 0
    for initrd in initrds:
        padding = bytes(-length % _INITRD_ALIGN)
        for piece in filter(None, initrd):
            if padding:
                yield padding
            yield piece
            length += len(padding) + len(piece)
            padding = b""


def _given(request: LinuxRequest) -> RunPart:
    """The initramfs that the caller gives."""
    assert request.initrd is not None
    return described(INITRD, request.initrd.name, request.initrd.content, given_initrd(request))


def _extras(found: FoundEntry) -> list[FilePart]:
    """The resources that are for the initrd. Raises LimitError when they are too large with the initrds."""
    wanted = [piece for piece in found.parts.extras if is_extra(piece.path)]
    found.check_initrds(sum(piece.size_bytes or 0 for piece in wanted))
    return wanted


def _read_initrd(
    found: FoundEntry, piece: FilePart, assured: Explanation[AssuranceReason]
) -> tuple[list[bytes], RunPart]:
    """The pieces of an initrd, which is too large to be copied once more, and what it is."""
    content, hasher = [], sha256()
    for data in read_pieces(found.files, piece):
        content.append(data)
        hasher.update(data)
    return content, RunPart(INITRD, str(piece), assured, piece.size_bytes, hasher.hexdigest())
