"""Disks that are looked at: opened from whatever a user names, and counted, for ``-v``."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

VERBOSE_HELP = "say more on stderr: how much was read, what a server does; twice for everything"

if TYPE_CHECKING:
    from bootpath.block.leaves.images.open import ImageRules
    from bootpath.block.leaves.images.unpack import UnpackProgress
    from bootpath.core.device import Device
    from bootpath.core.iolog import Record


def add_verbose(parser: argparse._ActionsContainer) -> None:
    """``-v``."""
    parser.add_argument("-v", "--verbose", action="count", default=0, help=VERBOSE_HELP)


def open_disk(
    name: str, options: argparse.Namespace, *, writable: bool = False, chunk_bytes: int | None = None
) -> Device:
    """The device of that name, with a word on stderr where its end is not in its file. Raises DeviceError, Error."""
    from bootpath.block.leaves.open import open_device

    with ExitStack() as stack:
        rules = image_rules(options, progress=_Unpacking(stack))
        device = open_device(name, writable=writable, chunk_bytes=chunk_bytes, images=rules)
    tell_padding(device)
    return device


def image_rules(options: argparse.Namespace, progress: UnpackProgress | None = None) -> ImageRules:
    """What ``--raw`` and ``--allow-backing-file`` say."""
    from bootpath.block.leaves.images.open import ImageRules

    return ImageRules(options.raw, options.allow_backing_file, progress)


class _Unpacking:
    """A progress bar that appears with the first progress, and goes with the stack."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._update: UnpackProgress | None = None

    def __call__(self, done: int, total: int, path: str) -> None:
        from bootpath.cli.console import progress_bar

        if self._update is None:
            self._update = self._stack.enter_context(progress_bar("unpacking"))
        self._update(done, total, path)


def plain_file(device: Device, options: argparse.Namespace) -> None:
    """Refuse what a machine cannot be given as a disk by its path. Raises Error."""
    from bootpath.core.diskimage import disk_images
    from bootpath.core.errors import Error

    images = disk_images(device)
    if images:
        raise Error(
            f"the machine's disk has to be a plain file, and this is {images[0]}",
            where=options.disk,
            hint="unpack it, or convert it with qemu-img convert -O raw",
        )


def tell_padding(device: Device) -> None:
    """Say that the end of a device is not in its file."""
    from bootpath.cli.console import note
    from bootpath.core.device import SupportsPadding

    if isinstance(device, SupportsPadding) and device.padding_bytes:
        size, padding = device.size_bytes - device.padding_bytes, device.padding_bytes
        said = f"its {size} bytes end within a block, which {padding} zero bytes fill up"
        note(f"bootpath: warning: {device.identity.name}: {said}")


@dataclass(slots=True)
class _Reads:
    """What was asked of a disk, and the device that knows what had to be fetched for it."""

    name: str
    device: Device
    count: int = 0
    length: int = 0

    def __call__(self, record: Record) -> None:
        from bootpath.core.iolog import Read

        if isinstance(record, Read):
            self.count += 1
            self.length += record.length

    def line(self) -> str:
        from bootpath.core.device import SupportsFetchCounts
        from bootpath.report.units import plural

        line = f"{self.name}: {plural(self.count, 'read')}, {self.length} bytes of {self.device.size_bytes}"
        if isinstance(self.device, SupportsFetchCounts):
            line += f"; {plural(self.device.requests, 'request')} for {self.device.fetched_bytes} bytes"
        return line


class Disks:
    """Opens disks, and closes them together, newest first. With `verbose` it counts what is read.

    What may be made of a file is in `options`. `lookup` is for who looks at a few places: of an object far away only
    those are fetched.
    """

    def __init__(self, options: argparse.Namespace, *, verbose: int, lookup: bool = True) -> None:
        self._options = options
        self._verbose = verbose
        self._lookup = lookup
        self._opened = ExitStack()
        self._reads: list[_Reads] = []

    def __enter__(self) -> Disks:
        return self

    def __exit__(self, *exception: object) -> None:
        self._opened.close()

    def open(self, name: str, *, writable: bool = False) -> Device:
        """The device of that name, which is closed with the others. Raises DeviceError."""
        from bootpath.block.leaves.remote import LOOKUP_CHUNK_BYTES
        from bootpath.block.targets.log import Log

        chunk_bytes = LOOKUP_CHUNK_BYTES if self._lookup else None
        device = open_disk(name, self._options, writable=writable, chunk_bytes=chunk_bytes)
        self._opened.callback(device.close)
        if not self._verbose:
            return device
        reads = _Reads(device.identity.name, device)
        self._reads.append(reads)
        return Log(device, reads)

    def report(self) -> None:
        """Say what was read of each."""
        from bootpath.cli.console import note

        for reads in self._reads:
            note(reads.line())
