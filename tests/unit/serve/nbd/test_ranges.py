"""Large reads that the kernel sends from memory or from a file: the same bytes as any other reply, or no connection."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.live.hydration import Hydration
from bootpath.block.live.late import LateDisk
from bootpath.block.overlay.ram import Overlay
from bootpath.block.targets.linear import Linear
from bootpath.core.device import Device, FileRange, read_bytes, resident_ranges
from bootpath.core.extents import Extent
from bootpath.formats.nbd.options import Option
from bootpath.formats.nbd.transmission import Command, ErrorCode
from tests.support.nbd import serving
from tests.support.patterns import pattern

MIB = 1 << 20
SIZE = 4 * MIB


def filled(device: Device) -> Device:
    device.write(0, pattern(0, SIZE))
    return device


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(pattern(0, SIZE))
    return path


def half_written(base: Device) -> Device:
    overlay = Overlay(base, drop_matching=False)
    overlay.write(MIB, pattern(MIB, 3 * MIB))
    return overlay


def half_hydrated(path: Path) -> Device:
    disk = LateDisk.ready(FileDevice.open(path))
    hydration = Hydration([Extent(512, 3 * MIB)], SIZE, disk, disk)
    hydration.run(threading.Event())
    return hydration.live


DEVICES: dict[str, Callable[[Path], Device]] = {
    "memory": lambda path: filled(MemoryDevice(SIZE)),
    "file": FileDevice.open,
    "linear": lambda path: Linear(FileDevice.open(path), 0, SIZE),
    "overlay": lambda path: half_written(FileDevice.open(path)),
    "live": half_hydrated,
}


def content(ranges: object) -> bytes:
    assert isinstance(ranges, list | tuple)
    return b"".join(os.pread(part.file.fileno(), part.length, part.offset) for part in ranges)


@pytest.mark.parametrize("name", DEVICES)
def test_ranges_hold_what_a_read_returns(name: str, path: Path) -> None:
    device = DEVICES[name](path)
    for offset, length in ((0, SIZE), (MIB - 4096, 8192), (512, 64 << 10), (3 * MIB, MIB)):
        ranges = resident_ranges(device, offset, length)
        if ranges is not None:  # an old kernel cannot tell what is in the page cache
            assert sum(map(len, ranges)) == length
            assert content(ranges) == read_bytes(device, offset, length)
    if name not in ("file", "linear"):  # this part of the others is memory of ours, whatever the kernel
        assert resident_ranges(device, 2 * MIB, MIB) is not None
    device.close()


def test_memory_of_the_caller_has_no_ranges() -> None:
    assert resident_ranges(MemoryDevice(bytes(SIZE)), 0, MIB) is None


@pytest.mark.parametrize("style", [Option.STRUCTURED_REPLY, Option.EXTENDED_HEADERS])
@pytest.mark.parametrize("name", DEVICES)
def test_large_reads_over_a_socket(name: str, style: int | None, path: Path) -> None:
    with serving(DEVICES[name](path)) as running, running.connect() as client:
        client.go(style=style)
        for offset, length in ((0, SIZE), (512, 2 * MIB), (MIB - 512, 64 << 10), (0, 512)):
            assert client.read(offset, length) == pattern(offset, length)


def test_a_write_after_a_large_read_does_not_wait_for_it(path: Path) -> None:
    with serving(Overlay(FileDevice.open(path), drop_matching=False)) as running, running.connect() as client:
        client.go()
        for offset in range(0, SIZE, MIB):
            assert client.read(offset, MIB) == pattern(offset, MIB)
            assert client.write(offset, pattern(offset, MIB, 1)) == 0
            assert client.read(offset, MIB) == pattern(offset, MIB, 1)


class Shrinking(FileDevice):
    """Loses its content between saying where it is and sending it."""

    def resident_ranges(self, offset: int, length: int) -> tuple[FileRange, ...]:
        os.truncate(self._fd, 0)
        return (FileRange(self, offset, length),)


def test_a_file_truncated_under_the_reply_ends_the_connection(path: Path) -> None:
    """The reply has begun: neither zeros nor fewer bytes may follow."""
    device = Shrinking(os.open(path, os.O_RDWR))
    with serving(device) as running:
        with running.connect() as client:
            client.go()
            with pytest.raises((ConnectionError, EOFError)):
                client.read(0, 64 << 10)
        with running.connect() as other:  # the server goes on, and a new request is an error again
            other.go()
            other.ask(Command.READ, 0, 4096)
            assert other.error() == ErrorCode.EIO


def test_a_device_closed_under_the_reply_is_an_error(path: Path) -> None:
    device = FileDevice.open(path)
    part = FileRange(device, 0, SIZE)
    assert len(part.after(4096)) == SIZE - 4096
    device.close()
    assert part.file.fileno() == -1
